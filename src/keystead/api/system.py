"""The machine: what it is, and its ends."""

from keystead.api.route import NO_CONTENT, Call, Reply
from keystead.api.shapes import json_reply


async def info(call: Call) -> Reply:
    """GET /system/info."""
    return json_reply(call.hsm.system_info())


async def reboot(call: Call) -> Reply:
    """POST /system/reboot."""
    call.hsm.want("reboot", call.caller)
    return NO_CONTENT


async def shutdown(call: Call) -> Reply:
    """POST /system/shutdown: outside Operational it is open to everyone, as NetHSM's."""
    call.hsm.want("shutdown", call.authenticated)
    return NO_CONTENT


async def factory_reset(call: Call) -> Reply:
    """POST /system/factory-reset."""
    call.hsm.want("factory-reset", call.caller)
    return NO_CONTENT
