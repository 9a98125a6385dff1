"""Settings of this device that Administrators read and write whole: network, logging, NTP."""

from typing import TypeVar

from keystead.operations.caller_context import CallerContext
from keystead.operations.hsm import Hsm
from keystead.storage.settings import Setting

T = TypeVar("T")


async def get(hsm: Hsm, setting: Setting[T], default: T) -> T:
    """Return a setting's value, `default` when it was never set."""
    value = await hsm.local.settings.get(setting)
    return default if value is None else value


async def put(hsm: Hsm, context: CallerContext, setting: Setting[T], value: T) -> None:
    """Keep a setting's value."""
    await hsm.store.commit([hsm.local.settings.put(setting, value)])
    context.note("setting changed", setting=setting.name)
