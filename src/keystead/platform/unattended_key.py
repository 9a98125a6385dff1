"""The unattended key: a file beside the database, which unattended boot needs as well as the slot.

    unattended.key   32 bytes while unattended boot is on; empty once it is off

No copy of the database holds it. When unattended boot is turned off, the key is overwritten, and
the slot in an older copy of the database opens no more.
"""

import asyncio
import os
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from keystead.errors import StartRefused, StoreUnavailable, WriteRefused
from keystead.platform import durable
from keystead.sealing.device import UNATTENDED_KEY_BYTES
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import KeepUnattendedKey, UnattendedKeyKept


class UnattendedKeyFile:
    """The file in a data directory. Every method may wait for the disk, and raises OSError."""

    def __init__(self, directory: Path) -> None:
        self.path: Final = directory / "unattended.key"

    def read(self) -> bytes | None:
        """Return the key, empty if unattended boot is off, or None if there is no file.

        A file of another length holds no key.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(UNATTENDED_KEY_BYTES + 1)
        return content if len(content) == UNATTENDED_KEY_BYTES else b""

    def keep(self, content: bytes) -> None:
        """Write a key or nothing to the file. The old content is overwritten first."""
        durable.overwrite(self.path)
        durable.create(self.path, content)

    def destroy(self) -> None:
        """Overwrite and remove the file, and an unfinished one."""
        durable.destroy(durable.unfinished(self.path))
        durable.destroy(self.path)


class AsksKeyFile(Protocol):
    """What RemoteUnattendedKey needs of `keystead.wire.connection.Exchanges`."""

    def next_id(self) -> int:
        """Return the id of the next question."""
        ...

    def ask(self, message: KeepUnattendedKey, /) -> Awaitable[UnattendedKeyKept]:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the other process is gone.
        """
        ...


class RemoteUnattendedKey:
    """The core's half, which reaches the file through a connection."""

    def __init__(self, exchanges: AsksKeyFile) -> None:
        self._exchanges = exchanges
        self.content: bytes | None = None
        """The last known content of the file, or None if there is no file."""

    async def keep(self, content: bytes) -> None:
        """Have the file hold this, durably.

        Raises WriteRefused if the disk refuses, StoreUnavailable if the other process is gone.
        """
        try:
            answer = await self._exchanges.ask(
                KeepUnattendedKey(self._exchanges.next_id(), content)
            )
        except ConnectionEnded as error:
            raise StoreUnavailable("The unattended key is out of reach.") from error
        if answer.refusal:
            raise WriteRefused(answer.refusal)
        self.content = content


class UnattendedKeyService:
    """The platform's half, on a thread of its own, so that it does not delay the store."""

    def __init__(self, file: UnattendedKeyFile) -> None:
        """Start the thread and read the file. Raises StartRefused if that fails."""
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unattended key")
        try:
            self._content = self._thread.submit(file.read).result()
        except OSError as error:
            raise StartRefused(f"The unattended key {file.path}: {error.strerror}.") from error

    def take(self) -> bytes | None:
        """Return what the file held at the start, and forget it."""
        content, self._content = self._content, None
        return content

    async def answer(self, question: KeepUnattendedKey) -> UnattendedKeyKept:
        """Return the reply to a question. Errors become a reply too."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._file.keep, question.content)
        except OSError as error:
            message = f"The unattended key cannot be written: {error.strerror}."
            return UnattendedKeyKept(question.id, message)
        return UnattendedKeyKept(question.id)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()
