"""A TPM's quotes over the connection between core and platform."""

import asyncio
import threading

import pytest

from keystead.errors import Overloaded, StoreUnavailable
from keystead.platform.event_log import read_event_log
from keystead.platform.remote_quotes import MAX_WAITING, QuoteService, RemoteQuotes
from keystead.platform.tpm_failed import TpmFailed
from keystead.wire.connection import ConnectionEnded
from keystead.wire.platform_messages import AskQuote, MachineQuote, Quoted

QUOTE = MachineQuote(b"quote", b"signature", "sha256", {"7": b"value"})


class QuotesInMemory:
    """Quotes that wait until they are let go."""

    public_der = b"key"

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.is_closed = threading.Event()

    def quote(self, nonce: bytes) -> MachineQuote:
        self.answers.wait(60)
        if nonce == b"broken":
            raise TpmFailed("the TPM says: no.")
        return QUOTE

    def close(self) -> None:
        self.is_closed.set()


class Link:
    """A connection to a service in the same process."""

    def __init__(self, service: QuoteService | None) -> None:
        self._service = service

    def next_id(self) -> int:
        return 1

    async def ask(self, message: AskQuote) -> Quoted:
        if self._service is None:
            raise ConnectionEnded("gone")
        return await self._service.answer(message)


def test_a_quote_arrives_and_a_refusal_is_named() -> None:
    async def scenario() -> None:
        quotes = QuotesInMemory()
        quotes.answers.set()
        service = QuoteService(quotes)
        remote = RemoteQuotes(Link(service))
        assert await remote.quote(b"nonce") == QUOTE
        with pytest.raises(Overloaded, match="the TPM says: no"):
            await remote.quote(b"broken")
        service.close()
        assert quotes.is_closed.wait(60)

    asyncio.run(scenario())


def test_a_tpm_that_hangs_is_given_up_and_asked_no_more() -> None:
    async def scenario() -> None:
        quotes = QuotesInMemory()
        service = QuoteService(quotes, patience_seconds=0.01)
        remote = RemoteQuotes(Link(service))
        for _ in range(MAX_WAITING):
            with pytest.raises(Overloaded, match="does not answer"):
                await remote.quote(b"nonce")
        with pytest.raises(Overloaded, match="Too many"):
            await remote.quote(b"nonce")
        quotes.answers.set()
        service.close()
        assert await asyncio.to_thread(quotes.is_closed.wait, 60)

    asyncio.run(scenario())


def test_without_the_platform_the_tpm_is_out_of_reach() -> None:
    with pytest.raises(StoreUnavailable, match="out of reach"):
        asyncio.run(RemoteQuotes(Link(None)).quote(b"nonce"))


def test_a_log_that_is_missing_or_without_end_is_left_out(tmp_path) -> None:
    (tmp_path / "log").write_bytes(b"events")
    assert read_event_log(str(tmp_path / "log")) == b"events"
    assert read_event_log("/dev/zero") == b""
    assert read_event_log(str(tmp_path / "none")) == b""
