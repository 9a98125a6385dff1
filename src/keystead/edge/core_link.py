"""The edge's end of its connection to the core. It matches responses to HTTP connections."""

from collections.abc import Callable
from typing import Final, Protocol

from keystead.wire.connection import Connection
from keystead.wire.edge_messages import (
    BodyChunk,
    CoreToEdge,
    EdgeToCore,
    RequestAborted,
    Response,
    ResponseAborted,
    TryOut,
    WantBody,
    Welcome,
)
from keystead.wire.frames import EDGE_FRAME_BYTES


class Asker(Protocol):
    """An HTTP connection that waits for a response of the core."""

    def answer(self, response: Response) -> None:
        """Take the answer, or its first part."""
        ...

    def answer_more(self, part: BodyChunk) -> None:
        """Take the next part of an answer."""
        ...

    def answer_aborted(self) -> None:
        """Give up an answer that has begun: the rest will not come."""
        ...

    def give_credit(self, credit: int) -> None:
        """Send up to `credit` bytes more of the request's body."""
        ...

    def core_keeps_up(self) -> None:
        """Go on sending: the core reads again."""
        ...

    def core_lost(self) -> None:
        """Give up: there will be no answer."""
        ...


class CoreLink:
    """Numbers requests, and passes messages of the core to the connections that asked."""

    def __init__(
        self,
        *,
        on_identity: Callable[[Welcome | TryOut], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._on_identity = on_identity
        self._on_lost = on_lost
        self._last_id = 0
        self._askers: dict[int, Asker] = {}
        self.protocol: Final = Connection[CoreToEdge, EdgeToCore](
            CoreToEdge,
            max_bytes=EDGE_FRAME_BYTES,
            on_message=self._received,
            on_lost=self._lost,
            on_writable=self._keeps_up,
        )
        self.send: Final = self.protocol.send
        self.is_lost = False

    @property
    def is_writable(self) -> bool:
        """Whether the core keeps up."""
        return self.protocol.is_writable

    def begin(self, asker: Asker) -> int:
        """Return the id for a request whose answer goes to `asker`."""
        self._last_id += 1
        self._askers[self._last_id] = asker
        return self._last_id

    def end(self, request_id: int) -> None:
        """Forget a request: it is answered, or its client is gone."""
        self._askers.pop(request_id, None)

    def abort(self, request_id: int) -> None:
        """Tell the core that the client of a request is gone."""
        if not self.is_lost:
            self.send(RequestAborted(request_id))

    def _received(self, message: CoreToEdge) -> None:
        if isinstance(message, Welcome | TryOut):
            self._on_identity(message)
            return
        asker = self._askers.get(message.id)
        if asker is None:
            return  # The client went away while this was on its way.
        match message:
            case Response():
                asker.answer(message)
            case BodyChunk():
                asker.answer_more(message)
            case ResponseAborted():
                asker.answer_aborted()
            case WantBody():
                asker.give_credit(message.credit)

    def _keeps_up(self) -> None:
        for asker in list(self._askers.values()):
            asker.core_keeps_up()

    def _lost(self, reason: str) -> None:
        self.is_lost = True
        for asker in list(self._askers.values()):
            asker.core_lost()
        self._on_lost(reason)
