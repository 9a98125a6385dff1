"""All edges that the core answers: together they serve one TLS identity."""

import asyncio
import contextlib
from typing import Final

from keystead.errors import InvalidInput, Overloaded
from keystead.journal.log import Log
from keystead.operations.tls import TlsIdentity
from keystead.processes.core.edge_link import EdgeLink
from keystead.wire.connection import ConnectionEnded

SERVE_PATIENCE_SECONDS: Final = 5.0
"""How long a change of the TLS identity waits for an edge that is busy; it serves it later."""

TRY_PATIENCE_SECONDS: Final = 5.0
"""How long one edge may take to try an identity out before another one is asked."""

RENEW_SECONDS: Final = 3600.0
"""How often every edge is welcomed again. Each time it makes a new TLS context, with new keys for
session tickets: who takes a key of TLS 1.2's reads the sessions that were resumed within the hour,
and no others. Resuming in TLS 1.3 agrees on a new key each time (psk_dhe_ke), so that it takes no
ticket's key to be forgotten."""


class Edges:
    """The edges that are connected now, and the identity that each of them is welcomed with."""

    def __init__(
        self, identity: TlsIdentity, log: Log, *, renew_seconds: float = RENEW_SECONDS
    ) -> None:
        self._identity = identity
        self._renew_seconds = renew_seconds
        self._log = log
        self._sessions: set[EdgeLink] = set()

    def add(self, session: EdgeLink) -> None:
        """Have a new edge serve."""
        self._sessions.add(session)
        self._welcome(session)

    def discard(self, session: EdgeLink) -> None:
        """Forget an edge that is gone."""
        self._sessions.discard(session)

    async def try_out(self, identity: TlsIdentity) -> None:
        """Have one edge try it, for all: they run the same TLS library on the same settings.

        Raises InvalidInput when clients could not connect, Overloaded when no edge says anything.
        """
        for session in list(self._sessions):
            try:
                trying = session.try_out(identity.key.reveal(), identity.chain)
                refusal = await asyncio.wait_for(trying, TRY_PATIENCE_SECONDS)
            except (TimeoutError, ConnectionEnded):
                continue
            if refusal:
                raise InvalidInput(
                    f"Clients could not connect with this key or certificate: {refusal}."
                )
            return
        raise Overloaded("No process could try it out; try again in a moment.")

    async def serve(self, identity: TlsIdentity) -> None:
        """Have every edge serve it; return once they do."""
        self._identity = identity
        for session in self._sessions:
            self._welcome(session)
        waiting = [asyncio.ensure_future(session.serves()) for session in self._sessions]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=SERVE_PATIENCE_SECONDS)
        for one in late:
            one.cancel()
            self._log.warning("an edge does not serve the new TLS identity yet")

    async def renew_forever(self) -> None:
        """Have every edge make new keys for session tickets, again and again."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            for session in self._sessions:
                self._welcome(session)

    def _welcome(self, session: EdgeLink) -> None:
        with contextlib.suppress(ConnectionEnded):  # It is gone, and so is its need.
            session.welcome(self._identity.key.reveal(), self._identity.chain)
