"""Updates of the software. No part of an image is stored before it is verified."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import msgspec

from keystead import SECURITY_VERSION, __version__
from keystead.errors import Conflict, KeysteadError, WrongState
from keystead.operations.caller_context import CallerContext
from keystead.operations.session import Session
from keystead.operations.update_slot import KeepsUpdateImages
from keystead.sealing.update_image import (
    ImageHeader,
    IncomingImage,
    SignatureCheck,
    UpdateKey,
    parse_version,
)


class Running(msgspec.Struct, frozen=True):
    """The software that runs now. An update must not be older."""

    major: int
    security_version: int

    def require_newer(self, header: ImageHeader) -> None:
        """Raise Conflict if the image with this header is of an older version."""
        if header.security_version < self.security_version:
            raise Conflict(
                f"The image has the security version {header.security_version}, older than "
                f"the running {self.security_version}. It would reopen a vulnerability."
            )
        if header.major < self.major:
            raise Conflict(
                f"The image has the major version {header.major}. Going back from "
                f"{self.major} is not supported."
            )


THIS_SOFTWARE: Final = Running(parse_version(__version__)[0], SECURITY_VERSION)


class _NoKey:
    """Stands in if no key is configured: images are refused before they are parsed."""

    def verify(self, _header: bytes, _signature: bytes) -> None:
        """Raise WrongState."""
        raise WrongState(
            "No update image is accepted here: the configuration file names no public key "
            "for them ([update] public_key)."
        )


class Updates:
    """The update slot, for Administrators. It takes one upload at a time."""

    def __init__(
        self, slot: KeepsUpdateImages, key: UpdateKey | None, running: Running = THIS_SOFTWARE
    ) -> None:
        """`key` verifies the signature of images. Without a key, no image is accepted."""
        self._slot = slot
        self._check: SignatureCheck = key or _NoKey()
        self._running = running
        self._is_receiving = False

    async def receive(self, context: CallerContext, body: AsyncIterator[bytes]) -> ImageHeader:
        """Stage the image in `body`, instead of one staged before, and return its header.

        Raises InvalidInput if the body is not exactly one image signed with the key, Conflict if
        its major or security version is older or another upload is running, and WrongState if no
        key is configured. After an error, the image that was staged before stays.
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
        """Remove the staged image. Raises WrongState if there is none."""
        await self._slot.cancel()
        context.note("update cancelled")

    async def commit(self, context: CallerContext) -> None:
        """Install the staged image. Raises WrongState if there is none, or no way to install it."""
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
        except BaseException:  # Also if the client disconnected.
            if image.header is not None:
                with suppress(KeysteadError):  # The first error says more; `begin` cleans as well.
                    await self._slot.abandon()
            raise
        return header

    async def _write(self, image: IncomingImage, piece: bytes, session: Session) -> None:
        _require_open(session)
        if image.header is not None and image.chunks_done == 0:
            self._running.require_newer(image.header)
            await self._slot.begin(len(piece) + image.header.size)
        await self._slot.write(piece)


def _require_open(session: Session) -> None:
    """Raise WrongState if the session has ended: nothing may be changed after that."""
    session.require_domain_key()
