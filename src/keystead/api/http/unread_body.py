"""A request's body that handlers have not read: it may still be on its way."""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from keystead.operations.shares import Party


class BodyReader(Protocol):
    """A request's body, which may still be on its way."""

    @property
    def whole(self) -> bytes | None:
        """The whole body if it came with the head of the request."""
        ...

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge if it has more than `limit` bytes."""
        ...

    def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body at the speed of its reader. Raises TooLarge after `limit` bytes."""
        ...

    def belongs_to(self, party: Party) -> None:
        """Count the memory of the body for `party`, whose share is limited."""
        ...

    def end_with_client(self) -> None:
        """Cancel the request when its client disconnects, or now if it has disconnected already."""
        ...


class LateBody:
    """A body that arrives after the head. It checks again that the caller is allowed to send it."""

    whole: Final = None

    def __init__(self, body: BodyReader, require_allowed: Callable[[], None]) -> None:
        self._body = body
        self._require_allowed = require_allowed

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge, and what `require_allowed` raises."""
        body = await self._body.read(limit)
        self._require_allowed()
        return body

    async def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises TooLarge, and what `require_allowed` raises."""
        async for part in self._body.parts(limit):
            self._require_allowed()
            yield part
        self._require_allowed()

    def belongs_to(self, party: Party) -> None:
        """Count the memory of the body for `party`."""
        self._body.belongs_to(party)

    def end_with_client(self) -> None:
        """Cancel the request when its client disconnects."""
        self._body.end_with_client()
