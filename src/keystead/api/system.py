"""The machine: what it is, and its ends."""

import msgspec

from keystead.api.route import NO_CONTENT, Call, Reply
from keystead.api.shapes import json_reply


class SystemInfo(msgspec.Struct, rename="camel"):
    """GET /system/info."""

    software_version: str
    software_build: str
    firmware_version: str
    hardware_version: str
    device_id: str
    ak_pub: dict[str, str]
    pcr: dict[str, str]


async def info(call: Call[None]) -> Reply[SystemInfo]:
    """GET /system/info: versions, and the name of this device."""
    return json_reply(msgspec.convert(call.hsm.system_info(), SystemInfo))


async def reboot(call: Call[None]) -> Reply[None]:
    """POST /system/reboot: restart."""
    call.hsm.want("reboot", call.caller)
    return NO_CONTENT


async def shutdown(call: Call[None]) -> Reply[None]:
    """POST /system/shutdown: stop; outside Operational it is open to everyone, as NetHSM's."""
    call.hsm.want("shutdown", call.authenticated)
    return NO_CONTENT


async def factory_reset(call: Call[None]) -> Reply[None]:
    """POST /system/factory-reset: destroy all data."""
    call.hsm.want("factory-reset", call.caller)
    return NO_CONTENT
