"""Settings of this device: network, logging, NTP."""

from keystead.api.http.route import Call, Reply
from keystead.api.resources.shapes import json_reply
from keystead.model.device_settings import (
    DEFAULT_LOGGING,
    DEFAULT_NETWORK,
    DEFAULT_NTP,
    LoggingSettings,
    NetworkSettings,
    NtpSettings,
    WantedNetwork,
)
from keystead.operations import device_settings
from keystead.storage.settings import LOGGING, NETWORK, NTP

_NOT_APPLIED = [("Keystead-Applied", "no; only an appliance configures its own network")]
"""The schema of the answers has no room for it."""


async def network(call: Call[None]) -> Reply[NetworkSettings]:
    """GET /config/network: the network settings."""
    settings = await device_settings.get(call.hsm, NETWORK, DEFAULT_NETWORK)
    return Reply(200, json_reply(settings).body, list(_NOT_APPLIED))


async def set_network(call: Call[WantedNetwork]) -> Reply[None]:
    """PUT /config/network: keep network settings; the machine's own stay as they are."""
    wanted = (await call.json(WantedNetwork)).settings
    await device_settings.put(call.hsm, call.context, NETWORK, wanted)
    return Reply(204, headers=list(_NOT_APPLIED))


async def logging(call: Call[None]) -> Reply[LoggingSettings]:
    """GET /config/logging: where log events go, and from which level on."""
    settings = await device_settings.get(call.hsm, LOGGING, DEFAULT_LOGGING)
    return json_reply(settings)


async def set_logging(call: Call[LoggingSettings]) -> Reply[None]:
    """PUT /config/logging: change where log events go, and from which level on."""
    wanted = await call.json(LoggingSettings)
    await device_settings.put(call.hsm, call.context, LOGGING, wanted)
    call.hsm.apply_logging(wanted)
    return Reply(204)


async def ntp(call: Call[None]) -> Reply[NtpSettings]:
    """GET /config/ntp: the time servers."""
    settings = await device_settings.get(call.hsm, NTP, DEFAULT_NTP)
    return json_reply(settings)


async def set_ntp(call: Call[NtpSettings]) -> Reply[None]:
    """PUT /config/ntp: keep the time servers."""
    wanted = await call.json(NtpSettings)
    await device_settings.put(call.hsm, call.context, NTP, wanted)
    return Reply(204)
