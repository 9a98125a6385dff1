"""Settings of this device: network, logging, NTP."""

import math

from keystead.api.http.route import Call, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model.device_settings import (
    DEFAULT_LOGGING,
    DEFAULT_NTP,
    LoggingSettings,
    NetworkSettings,
    NtpSettings,
    WantedNetwork,
)
from keystead.operations import device_settings
from keystead.operations.hsm import Hsm
from keystead.storage.settings import LOGGING, NTP

_APPLIED = "Keystead-Applied"
"""The schema of the answers has no room for it."""


async def network(call: Call[None]) -> Reply[NetworkSettings]:
    """GET /config/network: the network settings. It confirms those on trial."""
    settings = await call.hsm.machine_settings.network(call.context)
    return Reply(200, json_reply(settings).body, [(_APPLIED, _applied(call.hsm))])


async def set_network(call: Call[WantedNetwork]) -> Reply[None]:
    """PUT /config/network: an appliance tries the settings, other servers keep them only."""
    wanted = (await call.json(WantedNetwork)).settings
    await call.hsm.machine_settings.set_network(call.context, wanted)
    return Reply(204, headers=[(_APPLIED, _applied(call.hsm))])


def _applied(hsm: Hsm) -> str:
    if not hsm.machine_settings.are_applied:
        return "no; only an appliance configures its own network"
    seconds = math.ceil(hsm.machine_settings.trial_seconds)
    return f"on trial for {seconds} seconds; GET confirms" if seconds else "yes"


async def logging(call: Call[None]) -> Reply[LoggingSettings]:
    """GET /config/logging: where log events go, and from which level on."""
    settings = await device_settings.get(call.hsm, LOGGING, DEFAULT_LOGGING)
    return json_reply(settings)


async def set_logging(call: Call[LoggingSettings]) -> Reply[None]:
    """PUT /config/logging: change where log events go, and from which level on."""
    wanted = await call.json(LoggingSettings)
    await device_settings.put(call.hsm, call.context, LOGGING, wanted)
    call.hsm.logging.apply(wanted)
    return Reply(204)


async def ntp(call: Call[None]) -> Reply[NtpSettings]:
    """GET /config/ntp: the time servers."""
    settings = await device_settings.get(call.hsm, NTP, DEFAULT_NTP)
    return json_reply(settings)


async def set_ntp(call: Call[NtpSettings]) -> Reply[None]:
    """PUT /config/ntp: keep the time servers; an appliance asks the one of NTP."""
    wanted = await call.json(NtpSettings)
    await call.hsm.machine_settings.set_time_server(call.context, wanted)
    return Reply(204)
