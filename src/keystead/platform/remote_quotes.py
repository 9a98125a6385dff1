"""The TPM's quotes in another process: the client in the core, and the server in the platform."""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from keystead.deadlines import within
from keystead.errors import KeysteadError, Overloaded, StoreUnavailable
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import AskQuote, MachineQuote, Quoted

PATIENCE_SECONDS: Final = 30.0
"""The time for the TPM, which needs about a second."""
MAX_WAITING: Final = 4
"""The most quotes that are under way or wait. More are refused."""


class Quotes(Protocol):
    """A TPM with an attestation key."""

    @property
    def public_der(self) -> bytes:
        """The attestation key, SubjectPublicKeyInfo."""
        ...

    def quote(self, nonce: bytes) -> MachineQuote:
        """Return a quote. Raises KeysteadError if the TPM makes none."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


class AsksQuotes(Protocol):
    """What RemoteQuotes needs of `keystead.wire.connection.Exchanges`."""

    def next_id(self) -> int:
        """Return the id of the next question."""
        ...

    def ask(self, message: AskQuote, /) -> Awaitable[Quoted]:
        """Send `message` and return the reply to it.

        Raises ConnectionEnded if the other process is gone.
        """
        ...


class RemoteQuotes:
    """The quotes of a TPM at the other end of a connection."""

    def __init__(self, exchanges: AsksQuotes) -> None:
        self._exchanges = exchanges
        self.public_der = b""
        """The attestation key, once the other process has told it. Empty: there is none."""

    async def quote(self, nonce: bytes) -> MachineQuote:
        """Return a quote. Raises Overloaded if it is refused, StoreUnavailable without platform."""
        try:
            answer = await self._exchanges.ask(AskQuote(self._exchanges.next_id(), nonce))
        except ConnectionEnded as error:
            raise StoreUnavailable("The TPM is out of reach.") from error
        if answer.quote is None:
            raise Overloaded(answer.refusal)
        return answer.quote


class QuoteService:
    """Serves quotes on a thread of its own, so that the TPM does not delay the store."""

    def __init__(self, quotes: Quotes, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Start the thread."""
        self._quotes = quotes
        self._patience_seconds = patience_seconds
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="quotes")
        # The thread is there before the sandbox forbids threads.
        self._thread.submit(int).result()

    async def answer(self, question: AskQuote) -> Quoted:
        """Return the reply to one question. Errors become a reply too."""
        if self._waiting >= MAX_WAITING:
            return Quoted(question.id, None, "Too many attestations are under way.")
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._quotes.quote, question.nonce
        )
        # Not when the patience is over: the TPM may still have the question.
        work.add_done_callback(self._done)
        try:
            found = await within(self._patience_seconds, asyncio.shield(work))
        except TimeoutError:
            return Quoted(question.id, None, "The TPM does not answer.")
        except KeysteadError as error:
            return Quoted(question.id, None, f"No quote: {error.message}")
        return Quoted(question.id, found)

    def close(self) -> None:
        """End the thread, without waiting for a TPM that hangs."""
        self._thread.submit(self._quotes.close)
        self._thread.shutdown(wait=False)

    def _done(self, work: asyncio.Future[MachineQuote]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            work.exception()  # It is reported to the one that asked, or too late for that.
