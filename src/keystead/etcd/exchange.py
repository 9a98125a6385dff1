"""One call over HTTP/2, as gRPC has it: messages one way, messages back, and a status."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote

from keystead.etcd.errors import (
    AnswerTooLarge,
    EtcdError,
    EtcdInDoubt,
    EtcdRefused,
    EtcdUnavailable,
)

PREFIX_BYTES: Final = 5
"""A byte that says whether the message is compressed, and the length in four bytes."""

_OK: Final = "0"
_REFUSALS: Final = frozenset({"3", "5", "6", "7", "8", "9", "11", "12", "16"})
"""The codes of gRPC with which etcd refuses a call before it does anything: INVALID_ARGUMENT,
NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE,
UNIMPLEMENTED, UNAUTHENTICATED. After any other code, a change may have been made or may follow."""


def framed(message: bytes) -> bytes:
    """Return the message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4) + message


class Exchange:
    """The answer to a call as it comes in: whole messages, and then the end.

    It holds at most one unfinished message of `max_bytes`. While finished messages wait for the
    caller, it does not let the other side send more than a window.
    """

    def __init__(self, *, max_bytes: int, allow_more: Callable[[int], None]) -> None:
        """`allow_more` is called with a number of bytes that the other side may send again."""
        self._max_bytes = max_bytes
        self._allow_more = allow_more
        self._used_window = 0
        self._buffer = bytearray()
        self._messages: deque[bytes] = deque()
        self._error: EtcdError | None = None
        self._has_ended = False
        self._changed: asyncio.Future[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes in."""
        return self._has_ended

    async def next(self) -> bytes | None:
        """Return the next message, or None at the end. For one caller at a time.

        Messages that came in before an error are returned first. Raises EtcdError if the call has
        failed.
        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._has_ended:
                return None
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed
        message = self._messages.popleft()
        self._refill_window()
        return message

    # --- for the connection ----------------------------------------------------------------

    def received(self, data: bytes, window_bytes: int) -> None:
        """Take the next bytes, which have used `window_bytes` of the window.

        A message that is too large or compressed fails the call.
        """
        self._used_window += window_bytes
        if not self._has_ended:
            self._take(data)
        self._refill_window()

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PREFIX_BYTES and not self._has_ended:
            size = int.from_bytes(self._buffer[1:PREFIX_BYTES])
            if size > self._max_bytes:
                return self.fail(AnswerTooLarge(f"etcd answers with {size} bytes."))
            if self._buffer[0]:
                return self.fail(EtcdInDoubt("etcd answers in a compression not asked for."))
            if len(self._buffer) < PREFIX_BYTES + size:
                return None
            self._messages.append(bytes(self._buffer[PREFIX_BYTES : PREFIX_BYTES + size]))
            del self._buffer[: PREFIX_BYTES + size]
            self._wake()
        return None

    def finish(self, trailers: Mapping[str, str]) -> None:
        """End the call with the status in its last headers."""
        code = trailers.get("grpc-status")
        message = unquote(trailers.get("grpc-message", ""))
        if code == _OK:
            self._end(None)
        elif code in _REFUSALS:
            self.fail(EtcdRefused(message))
        else:
            self.fail(EtcdInDoubt(message or "etcd has ended the call without a status."))

    def fail(self, error: EtcdError) -> None:
        """End the call with an error."""
        self._end(error)

    def expire(self, seconds: float) -> None:
        """End the call because its time is up."""
        self.fail(EtcdInDoubt(f"etcd has not answered within {seconds:g} s."))

    def _end(self, error: EtcdError | None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._error = error
        self._buffer.clear()
        self._refill_window()
        self._wake()

    def _refill_window(self) -> None:
        if self._used_window and (self._has_ended or not self._messages):
            used, self._used_window = self._used_window, 0
            self._allow_more(used)

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


def never_sent(reason: str) -> EtcdUnavailable:
    """Return the error for a call that etcd has never begun: it has changed nothing."""
    return EtcdUnavailable(f"etcd is out of reach: {reason}")
