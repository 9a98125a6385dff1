"""All edges of the core, which serve the same TLS identity."""

import asyncio
import contextlib
from typing import Final

from keystead.deadlines import within
from keystead.errors import InvalidInput, Overloaded
from keystead.journal.log import Log
from keystead.operations.tls import TlsIdentity
from keystead.processes.core.edge_link import EdgeLink
from keystead.wire.connection import ConnectionEnded

SERVE_PATIENCE_SECONDS: Final = 5.0
"""How long a change of the TLS identity waits for a busy edge, which then changes later."""

TRY_PATIENCE_SECONDS: Final = 5.0
"""How long one edge may take to try out an identity before another edge is asked."""

RENEW_SECONDS: Final = 3600.0
"""How often every edge gets a new Welcome. Each time it makes a new TLS context with new keys for
session tickets. An attacker who takes such a key of TLS 1.2 can read only sessions that were
resumed within this hour. Resuming in TLS 1.3 agrees on a new key each time (psk_dhe_ke), so its
ticket keys reveal no session."""


class Edges:
    """The connected edges, and the identity that each of them gets."""

    def __init__(
        self, identity: TlsIdentity, log: Log, *, renew_seconds: float = RENEW_SECONDS
    ) -> None:
        self._identity = identity
        self._renew_seconds = renew_seconds
        self._log = log
        self._sessions: set[EdgeLink] = set()

    def __len__(self) -> int:
        """Return how many edges are connected."""
        return len(self._sessions)

    def add(self, session: EdgeLink) -> None:
        """Add a new edge, and give it the TLS identity."""
        self._sessions.add(session)
        self._welcome(session)

    def discard(self, session: EdgeLink) -> None:
        """Forget an edge that is gone."""
        self._sessions.discard(session)

    async def try_out(self, identity: TlsIdentity) -> None:
        """Let one edge try the identity. All edges have the same TLS library and settings.

        Raises InvalidInput if clients could not connect, and Overloaded if no edge answers.
        """
        for session in list(self._sessions):
            try:
                trying = session.try_out(identity.key.reveal(), identity.chain)
                refusal = await within(TRY_PATIENCE_SECONDS, trying)
            except (TimeoutError, ConnectionEnded):
                continue
            if refusal:
                raise InvalidInput(
                    f"Clients could not connect with this key or certificate: {refusal}."
                )
            return
        raise Overloaded("No edge could try out the TLS identity; try again in a moment.")

    async def serve(self, identity: TlsIdentity) -> None:
        """Give every edge the identity, and return once they serve it."""
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
        """Let every edge make new keys for session tickets at intervals."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            for session in self._sessions:
                self._welcome(session)

    def _welcome(self, session: EdgeLink) -> None:
        with contextlib.suppress(ConnectionEnded):  # The edge is gone.
            session.welcome(self._identity.key.reveal(), self._identity.chain)
