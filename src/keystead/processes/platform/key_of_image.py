"""The device key of an appliance, which follows the confirmed image into the machine's TPM.

An image that is on trial seals no key again, because the confirmed image may still need it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from keystead.errors import StartRefused
from keystead.journal.log import Log
from keystead.platform.data_directory import DataDirectory
from keystead.platform.device_key import DeviceKey, InClear, destroy, kept_here
from keystead.processes.platform.device_key_provider import device_key_provider
from keystead.processes.platform.settings import (
    DeviceKeySettings,
    PlatformSettings,
    RunningImage,
)
from keystead.storage.backends import sqlite_file
from keystead.storage.paths import AFTER_LOCAL, DOMAIN_KEY, LOCAL

_PLANTED: Final = (
    "The device key is a file, and the HSM is not provisioned: whoever has written the disk may "
    "know the key. Start with a new disk."
)
_IN_CLEAR: Final = "the device key is a file: no TPM keeps it from whoever has the disk"


class KeyOfImage(NamedTuple):
    """Where the device key is."""

    settings: DeviceKeySettings
    waits: bool
    """Whether the key is to be sealed as soon as the image that runs is confirmed."""


def with_key_of_image(
    data: DataDirectory, settings: PlatformSettings, log: Log
) -> tuple[PlatformSettings, bool]:
    """Return the settings as the appliance's image and its device key have them, and `waits`.

    Raises StartRefused as `follow_image` does, and StoreUnavailable or UnsupportedFormat if a store
    beside a key in clear cannot be read.
    """
    key = follow_image(
        data.path,
        settings.device_key,
        settings.running_image,
        log,
        is_provisioned=partial(_is_provisioned, data.database),
    )
    core = settings.core
    if settings.running_image is not None and key.settings.provider == "file":
        core = replace(core, warnings=(*core.warnings, _IN_CLEAR))
    return replace(settings, device_key=key.settings, core=core), key.waits


def follow_image(
    directory: Path,
    wanted: DeviceKeySettings,
    image: RunningImage | None,
    log: Log,
    *,
    is_provisioned: Callable[[], bool],
) -> KeyOfImage:
    """Seal a device key that is in clear, or sealed for older images, for a confirmed `image`.

    If that fails, the log says why, and the key stays as it was. Raises StartRefused if the key's
    file cannot be read, or a key in clear is there before the HSM was provisioned.
    """
    if image is None or wanted.provider != "tpm2":
        return KeyOfImage(wanted, waits=False)
    in_clear = DeviceKey(directory, InClear())
    sealed = DeviceKey(directory, device_key_provider(wanted))
    # After a power cut, what is left of a key in clear may be half destroyed.
    is_in_clear = in_clear.is_there and not sealed.is_in_place
    if not in_clear.is_there and not (sealed.is_there and sealed.is_for_older_images):
        return KeyOfImage(wanted, waits=False)
    if is_in_clear and not is_provisioned():
        raise StartRefused(_PLANTED)
    present = replace(wanted, provider="file") if is_in_clear else wanted
    if image == "trial":
        return KeyOfImage(present, waits=True)
    try:
        if is_in_clear:
            _move(in_clear, sealed)
        _destroy_in_clear(directory, sealed)
        if sealed.is_for_older_images:
            sealed.seal_again()
    except StartRefused as refusal:
        log.warning("the device key is not sealed to this image", reason=refusal.message)
        return KeyOfImage(present, waits=False)
    log.info("the device key is sealed to this image and later ones")
    return KeyOfImage(wanted, waits=False)


def _is_provisioned(database: Path) -> bool:
    local = sqlite_file.paths(database, LOCAL, AFTER_LOCAL)
    return any(DOMAIN_KEY in path for path in local)


def _move(in_clear: DeviceKey, sealed: DeviceKey) -> None:
    fetched = in_clear.fetch(store_exists=True)
    fetched.require_one()
    sealed.stage(fetched.choose(None))
    sealed.promote()


def _destroy_in_clear(directory: Path, sealed: DeviceKey) -> None:
    if "file" not in kept_here(directory):
        return
    sealed.fetch(store_exists=True)  # It opens.
    try:
        destroy(directory, "file")
    except OSError as error:
        raise StartRefused(f"the key in clear is still there: {error.strerror}.") from error
