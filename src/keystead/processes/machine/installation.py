"""Installs an update that was committed. It is loaded only for that: it needs cryptography."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

from keystead.errors import InvalidInput, KeysteadError
from keystead.model.boot_slots import SLOT_BYTES
from keystead.operations.update import THIS_SOFTWARE, Running
from keystead.platform.update_slot import UpdateSlot
from keystead.processes.machine.slots import Slots
from keystead.sealing.update_image import MAX_CHUNK_BYTES, ImageHeader, IncomingImage, UpdateKey

UPDATE_KEY: Final = Path("/etc/keystead/update.pem")
"""The builder puts it into the image, unless nothing is signed."""


def install_committed(
    slots: Slots,
    staged: UpdateSlot,
    tell: Callable[[str], None],
    *,
    key_file: Path = UPDATE_KEY,
    running: Running = THIS_SOFTWARE,
) -> None:
    """Install the update that was committed, if there is one. Errors are told, not raised."""
    try:
        path = staged.take_committed()
        if path is None:
            return
        tell("installing the update")
        with open_image(path) as image:
            for _ in slots.install(verified(image, UpdateKey(key_file.read_bytes()), running)):
                pass
        staged.cancel()
        tell(f"slot {slots.running.other.value} starts next, on trial")
    except KeysteadError as error:
        tell(f"the update is not installed: {error.message}")
    except OSError as error:
        tell(f"the update is not installed: {error.strerror or error}")


def open_image(path: Path) -> BinaryIO:
    """Open a staged image, which nobody has verified. Raises OSError if it is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError(f"{path} is not a regular file")
    return file


def verified(image: BinaryIO, key: UpdateKey, running: Running) -> Iterable[bytes]:
    """Yield the chunks of an update image, each one after it was verified.

    Raises InvalidInput or Conflict if the image is not signed with `key`, is damaged, is older than
    `running`, or is too large for a slot.
    """
    incoming = IncomingImage(key)
    while data := image.read(MAX_CHUNK_BYTES):
        for piece in incoming.feed(data):
            if incoming.chunks_done:
                yield piece
            elif incoming.header is not None:
                running.require_newer(incoming.header)
                _require_fit(incoming.header)
    incoming.finish()


def _require_fit(header: ImageHeader) -> None:
    if header.size > SLOT_BYTES:
        raise InvalidInput(f"The image does not fit into a slot of {SLOT_BYTES} bytes.")
