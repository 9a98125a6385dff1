"""Updates of the software: an image comes in, and nothing of it is kept that is not verified."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from keystead import SECURITY_VERSION, __version__
from keystead.errors import Conflict, KeysteadError, WrongState
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import Session
from keystead.operations.update_slot import UpdateSlot
from keystead.sealing.update_image import (
    ImageHeader,
    IncomingImage,
    SignatureCheck,
    UpdateKey,
    parse_version,
)


@dataclass(frozen=True, slots=True)
class Running:
    """What runs now; an update leads to nothing older."""

    major: int
    security_version: int


THIS_SOFTWARE: Final = Running(parse_version(__version__)[0], SECURITY_VERSION)


class _NoKey:
    """Stands in for the key where there is none: what might be an image is not looked into."""

    def verify(self, _header: bytes, _signature: bytes) -> None:
        """Raise WrongState."""
        raise WrongState(
            "No update image is accepted here: the configuration file names no public key "
            "for them ([update] public_key)."
        )


class Updates:
    """The update slot, for Administrators: one upload at a time."""

    def __init__(
        self, slot: UpdateSlot, key: UpdateKey | None, running: Running = THIS_SOFTWARE
    ) -> None:
        """`key` is the one that images must be signed with; without one, none is accepted."""
        self._slot = slot
        self._check: SignatureCheck = key or _NoKey()
        self._running = running
        self._is_receiving = False

    async def receive(self, context: CallerContext, body: AsyncIterator[bytes]) -> ImageHeader:
        """Stage the image that `body` is, in the place of one staged before; return its header.

        InvalidInput when it is not exactly one image that the key signed; Conflict when it would
        lead back to an older major or security version, or when another one is just coming in;
        WrongState without a key, for what begins as an image does. Whatever is raised, the image
        staged before stays.
        """
        if self._is_receiving:
            raise Conflict("Another update image is being uploaded.")
        self._is_receiving = True
        try:
            header = await self._stage(IncomingImage(self._check), context.session, body)
        finally:
            self._is_receiving = False
        context.note("update image staged", version=header.version)
        return header

    async def cancel(self, context: CallerContext) -> None:
        """Remove the staged image; WrongState when there is none."""
        await self._slot.cancel()
        context.note("update cancelled")

    async def commit(self, context: CallerContext) -> None:
        """Have the staged image take over; WrongState when there is none, or no way to."""
        await self._slot.commit()
        context.note("update committed")

    async def _stage(
        self, image: IncomingImage, session: Session, body: AsyncIterator[bytes]
    ) -> ImageHeader:
        try:
            async for part in body:
                for piece in image.feed(part):
                    await self._write(image, piece, session)
            header = image.finish()
            _require_open(session)
            await self._slot.keep()
        except BaseException:  # A client that went away is a CancelledError.
            if image.header is not None:
                with suppress(KeysteadError):  # The first error says more; `begin` cleans as well.
                    await self._slot.abandon()
            raise
        return header

    async def _write(self, image: IncomingImage, piece: bytes, session: Session) -> None:
        _require_open(session)
        if image.header is not None and image.chunks_done == 0:
            self._require_newer(image.header)
            await self._slot.begin(len(piece) + image.header.size)
        await self._slot.write(piece)

    def _require_newer(self, header: ImageHeader) -> None:
        if header.security_version < self._running.security_version:
            raise Conflict(
                f"The image has the security version {header.security_version}, older than "
                f"{self._running.security_version}, which runs: it would open a closed hole again."
            )
        if header.major < self._running.major:
            raise Conflict(
                f"The image has the major version {header.major}; a way back from "
                f"{self._running.major} does not exist."
            )


def _require_open(session: Session) -> None:
    """Raise WrongState once the session has ended: nobody changes anything any more."""
    session.require_domain_key()
