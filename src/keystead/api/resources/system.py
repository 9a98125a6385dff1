"""The machine: what it is, and its ends."""

from typing import Annotated

import msgspec

from keystead.api.http.route import NO_CONTENT, Call, Reply
from keystead.api.resources.shapes import json_reply


class SystemInfo(msgspec.Struct, rename="camel"):
    """GET /system/info."""

    software_version: str
    software_build: str
    firmware_version: str
    hardware_version: str
    device_id: str
    ak_pub: dict[str, str]
    pcr: dict[str, str]


class SystemUpdateData(msgspec.Struct, rename="camel"):
    """POST /system/update."""

    release_notes: str


async def info(call: Call[None]) -> Reply[SystemInfo]:
    """GET /system/info: versions, and the name of this device."""
    return json_reply(msgspec.convert(call.hsm.system_info(), SystemInfo))


async def reboot(call: Call[None]) -> Reply[None]:
    """POST /system/reboot: restart."""
    await call.hsm.want("reboot", call.caller)
    return NO_CONTENT


async def shutdown(call: Call[None]) -> Reply[None]:
    """POST /system/shutdown: stop; in Locked and Failed, the user is `unlock` by default."""
    await call.hsm.want("shutdown", call.authenticated)
    return NO_CONTENT


async def factory_reset(call: Call[None]) -> Reply[None]:
    """POST /system/factory-reset: destroy all data."""
    await call.hsm.want("factory-reset", call.caller)
    return NO_CONTENT


async def update(call: Call[bytes]) -> Annotated[Reply[SystemUpdateData], 409]:
    """POST /system/update: an image is verified and staged while it arrives."""
    body = call.unread_body.parts(call.route.body_limit)
    header = await call.hsm.updates.receive(call.context, body)
    return json_reply(SystemUpdateData(header.release_notes))


async def commit_update(call: Call[None]) -> Reply[None]:
    """POST /system/commit-update: have the staged image take over."""
    await call.hsm.updates.commit(call.context)
    return NO_CONTENT


async def cancel_update(call: Call[None]) -> Reply[None]:
    """POST /system/cancel-update: remove the staged image."""
    await call.hsm.updates.cancel(call.context)
    return NO_CONTENT
