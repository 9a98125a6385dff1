"""The request of a connection that the core has: one at a time."""

from typing import Final

from keystead.edge.core_link import Asker, CoreLink
from keystead.edge.request_head import RequestHead
from keystead.edge.upload import Upload
from keystead.wire.edge_messages import ANSWER_PART_BYTES, Request, WantBody


class CoreRequest:
    """What one connection has asked the core, from the request's head to the end of the answer."""

    def __init__(self, link: CoreLink, asker: Asker) -> None:
        """`asker` gets the answers."""
        self._link: Final = link
        self._asker: Final = asker
        self._id = 0
        """0 while the core has none."""

    @property
    def is_under_way(self) -> bool:
        """Whether the core has a request that it has not answered to the end."""
        return self._id != 0

    def send(
        self, head: RequestHead, client: str, body: bytes, length: int | None, *, more: bool
    ) -> None:
        """Send a request of `client`, an IP address; with `more`, its body comes by `send_body`."""
        self._id = self._link.begin(self._asker)
        self._link.send(
            Request(
                self._id,
                head.method,
                head.path,
                head.query,
                head.headers,
                client,
                body,
                length,
                more,
            )
        )

    def send_body(self, upload: Upload) -> bool:
        """Send as much as the core gave credit for. Return whether the body is complete."""
        return upload.send(self._link, self._id)

    def ask_for_more(self) -> None:
        """Have the core send the next part of its answer."""
        self._link.send(WantBody(self._id, ANSWER_PART_BYTES))

    def end(self) -> None:
        """Forget the request: nothing more comes of it."""
        self._link.end(self._id)
        self._id = 0

    def abort(self) -> None:
        """Tell the core that nobody waits any more, if it has a request."""
        aborted = self._id
        if aborted:
            self.end()
            self._link.abort(aborted)
