"""One client connection: it passes HTTP/1.1 requests to the core, one at a time.

There is no task, future or timer for a request. A sweep over all connections checks `deadline`.
While a request is running, later bytes of the client wait, and reading stops.
"""

import socket
from math import inf
from typing import Final

from keystead.edge.client_stream import ClientStream
from keystead.edge.context import EdgeContext
from keystead.edge.core_request import CoreRequest
from keystead.edge.limits import MAX_HEAD_BYTES, MAX_INLINE_BODY_BYTES
from keystead.edge.pages import Page
from keystead.edge.phase import Phase
from keystead.edge.request_body import ChunkedBody, SizedBody
from keystead.edge.request_head import (
    RequestHead,
    RequestRefused,
    check_partial_head,
    parse_request_head,
)
from keystead.edge.response_head import CONTINUE, Framing, own_answer, response_head
from keystead.edge.tls import TlsSocket
from keystead.edge.upload import Upload
from keystead.wire.edge_messages import BodyChunk, Response

_HEAD_END: Final = b"\r\n\r\n"
# For each request: with Python 3.11, a member of an Enum is not found at the speed of a name.
_HEAD, _ANSWERING = Phase.HEAD, Phase.ANSWERING
_LENGTH, _CHUNKS, _END = Framing.LENGTH, Framing.CHUNKS, Framing.END
_READING: Final = frozenset({"GET", "HEAD"})


class HttpConnection:
    """One TLS connection that is open."""

    def __init__(
        self, context: EdgeContext, accepted: socket.socket, tls: TlsSocket, client: str
    ) -> None:
        """`tls` has ended its handshake on `accepted`. `client` is the peer's IP address."""
        self._all = context
        self._link = context.link
        self._request = CoreRequest(context.link, self)
        self._client = client
        self._stream = ClientStream(context.loop, accepted, tls, self)
        self._phase = Phase.HEAD
        self._unparsed = b""
        self._upload: Upload | None = None
        self._wants_head_only = False
        self._framing = Framing.LENGTH
        self._unknown_length = Framing.CHUNKS
        self._is_last = False
        self._gives_up_at = inf
        self.waiting_since = context.now()
        """The time when the connection was opened or last answered."""
        self.deadline = self.waiting_since + context.timeouts.head
        """The time to call `timed_out`, on the clock `EdgeContext.now`."""
        context.connections[self] = None

    # --- the stream's side -----------------------------------------------------------------

    def begin(self) -> None:
        """Take the first request if it is here already."""
        self._stream.read()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        match self._phase:
            case Phase.HEAD:
                self._unparsed = self._unparsed + data if self._unparsed else data
                self._read_head()
            case Phase.BODY:
                self._read_body(data)
            case Phase.ANSWERING | Phase.STREAMING:
                self._unparsed += data
                self._stream.pause_reading()
            case Phase.DRAINING:
                self._drain_body(data)
            case Phase.CLOSING:
                self.deadline = min(self._all.now() + self._all.timeouts.linger, self._gives_up_at)

    def pause_writing(self) -> None:
        """Note that the client takes its answers slowly."""
        self._expect_within(self._all.timeouts.write)
        self._all.add_slow_reader(self)

    def resume_writing(self) -> None:
        """Continue after the client has read what was written."""
        self._all.slow_readers.pop(self, None)
        match self._phase:
            case Phase.HEAD:
                self._await_request()
            case Phase.ANSWERING:
                self.deadline = inf
            case Phase.STREAMING:
                self.deadline = inf
                self._ask_for_more()
            case _:  # Its deadline is for what it waits for.
                pass

    def connection_lost(self) -> None:
        """Forget the client, and tell the core when it still waits for something."""
        self._abort_request()
        self._phase = Phase.CLOSING
        self.deadline = inf
        self._all.forget(self)
        # They refer to this connection. Now all is freed at once, without a search for cycles.
        del self._stream, self._request

    # --- the server's side -----------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether the connection waits for its client, and the core has no request of it."""
        return not self._request.is_under_way

    def make_room(self) -> None:
        """End the connection at once, to make room for another."""
        self._all.connections.pop(self, None)
        self._stream.abort()

    def timed_out(self) -> None:
        """End the connection, because the client was too slow."""
        if not self._stream.is_writable or self._stream.is_closing:
            self._all.refusals["slow_reader"] += not self._stream.is_writable
            self._stream.abort()
        elif self._phase in {Phase.CLOSING, Phase.DRAINING}:
            self._close()
        elif self._phase is Phase.BODY or self._unparsed:
            self._abort_request()
            self._refuse(RequestRefused(408, "The request did not arrive in time."))
        else:
            self._close()

    def stop(self) -> None:
        """Close the connection if it is idle, and otherwise after the running response."""
        if self._phase is Phase.HEAD and not self._unparsed:
            self._close()

    # --- reading a request -----------------------------------------------------------------

    def _read_head(self) -> None:
        data = self._unparsed
        if data.startswith(b"\r\n"):  # Some clients send it after a body: RFC 9112, 2.2.
            data = data[2:]
        end = data.find(_HEAD_END, 0, MAX_HEAD_BYTES)
        try:
            if end < 0:
                check_partial_head(data)
                self.deadline = min(self.deadline, self._all.now() + self._all.timeouts.head)
                return
            head = parse_request_head(data[: end + 2])
        except RequestRefused as refused:
            self._refuse(refused)
            return
        self._is_last = not head.keep_alive
        self._wants_head_only = head.method == "HEAD"
        self._unknown_length = _CHUNKS if head.takes_chunks else _END
        rest = data[end + len(_HEAD_END) :]
        page = self._all.pages.get(head.path)
        if page is not None and head.method in _READING and head.content_length == 0:
            self._answer_page(page, head, data[:end], rest)
        else:
            self._begin(head, rest)

    def _answer_page(self, page: Page, head: RequestHead, block: bytes, rest: bytes) -> None:
        """Answer without the core. A client that has sent more already is not served further."""
        self._unparsed = rest
        self._is_last |= self._all.is_stopping or bool(rest)
        self._stream.write(page.answer(head, block, is_last=self._is_last))
        self._answered(None)

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        length = head.content_length
        if length is not None and length <= MAX_INLINE_BODY_BYTES and length <= len(rest):
            self._unparsed = rest[length:]
            self._send_whole(head, rest[:length])
            return
        self._unparsed = b""
        self.deadline = inf
        body = ChunkedBody() if length is None else SizedBody(length)
        self._upload = Upload(head, body, head.expects_continue and not rest)
        self._phase = Phase.BODY
        if head.expects_continue or (length or 0) > MAX_INLINE_BODY_BYTES:
            self._announce(self._upload)
        self._read_body(rest)

    def _read_body(self, data: bytes) -> None:
        upload = self._upload
        if upload is None:  # The core was lost meanwhile.
            return
        try:
            seconds_more = upload.take(data)
        except RequestRefused as refused:
            self._abort_request()
            self._refuse(refused)
            return
        now = self._all.now()
        self.deadline = min(self.deadline + seconds_more, now + self._all.timeouts.body)
        if upload.is_announced:
            self._send_body(upload)
        elif len(upload.waiting) > MAX_INLINE_BODY_BYTES:
            self._announce(upload)
            self._send_body(upload)
        elif upload.body.is_complete:
            self._upload, self._unparsed = None, upload.body.rest
            self._send_whole(upload.head, bytes(upload.waiting))

    # --- to the core -----------------------------------------------------------------------

    def _send_whole(self, head: RequestHead, body: bytes) -> None:
        """Send a request whose body is complete to the core."""
        self._phase = _ANSWERING
        self.deadline = inf
        self._send_request(head, body, len(body), more=False)

    def _announce(self, upload: Upload) -> None:
        """Send a request's head to the core, which asks for the body when it wants it."""
        upload.is_announced = True
        self._send_request(upload.head, b"", upload.head.content_length, more=True)

    def _send_request(
        self, head: RequestHead, body: bytes, length: int | None, *, more: bool
    ) -> None:
        if self._link.is_lost:
            self.core_lost()
        else:
            self._request.send(head, self._client, body, length, more=more)

    def _send_body(self, upload: Upload) -> None:
        """Send as much as the core gave credit for, and read from the client at that speed."""
        if self._request.send_body(upload):
            self._upload, self._unparsed = None, upload.body.rest
            self._phase = Phase.ANSWERING
            self.deadline = inf
        elif upload.has_enough:
            self.deadline = inf
            self._stream.pause_reading()
        else:
            self._stream.resume_reading()
            if not upload.credit:  # It is the core that the client waits for.
                self.deadline = inf
            elif self.deadline == inf:
                self._expect_within(self._all.timeouts.body)

    def _abort_request(self) -> None:
        """Tell the core that the client is gone, if it has this request."""
        self._upload = None
        self._request.abort()

    # --- from the core ---------------------------------------------------------------------

    def give_credit(self, credit: int) -> None:
        """Send up to `credit` bytes more of the body: the core wants it."""
        upload = self._upload
        if upload is None:
            return
        upload.credit += credit
        if upload.owes_continue:
            upload.owes_continue = False
            self._stream.write(CONTINUE)
        self._send_body(upload)

    def answer(self, response: Response) -> None:
        """Write the core's answer, or its first part."""
        upload, self._upload = self._upload, None
        remaining = response.remaining
        self._framing = self._unknown_length if remaining is None else _LENGTH
        is_streamed = remaining != 0 and not self._wants_head_only
        if upload is not None and (is_streamed or not upload.can_be_dropped):
            self._is_last = True
        self._is_last |= self._all.is_stopping or self._framing is _END
        head = response_head(
            response.status,
            response.header_lines,
            length=len(response.body) + (remaining or 0),
            framing=self._framing,
            is_last=self._is_last,
        )
        self._stream.write(head, b"" if self._wants_head_only else response.body)
        if is_streamed:
            self._phase = Phase.STREAMING
            self.deadline = inf
            self._ask_for_more()
            return
        if remaining != 0:
            self._request.abort()
        self._answered(upload)

    def answer_more(self, part: BodyChunk) -> None:
        """Write the next part of a long answer."""
        if self._phase is not Phase.STREAMING:
            return
        self._stream.write(self._framing.part(part.data, is_last=part.last))
        if part.last:
            self._answered(None)
        else:
            self._ask_for_more()

    def answer_aborted(self) -> None:
        """Abort the connection, so that the client notices that the response is incomplete."""
        self._request.end()
        self._stream.abort()

    def core_keeps_up(self) -> None:
        """Go on sending a body: the core reads again."""
        if self._upload is not None and self._upload.is_announced:
            self._send_body(self._upload)

    def core_lost(self) -> None:
        """Answer that the core is gone."""
        self._request.end()
        self._upload = None
        if self._phase is Phase.STREAMING:
            self._stream.abort()
        else:
            self._refuse(RequestRefused(503, "The service is restarting."))

    def _ask_for_more(self) -> None:
        if self._stream.is_writable:
            self._request.ask_for_more()

    # --- the end of an exchange ------------------------------------------------------------

    def _answered(self, upload: Upload | None) -> None:
        """Continue after a response. `upload` is the rest of a body that the core did not read."""
        self._request.end()
        if self._is_last:
            self._linger_or_close(upload)
        elif upload is None:
            self._await_request()
        else:
            self._phase = Phase.DRAINING
            self._upload = upload
            self._stream.resume_reading()
            self._expect_within(self._all.timeouts.body)
            self._drain_body(b"")

    def _await_request(self) -> None:
        """Serve the next request, unless the client does not take the answers it has."""
        self._phase = _HEAD
        if not self._stream.is_writable:
            self._stream.pause_reading()
            self._expect_within(self._all.timeouts.write)
            return
        self.waiting_since = self._all.now()
        self.deadline = self.waiting_since + self._all.timeouts.idle
        if self._unparsed:
            self._read_head()
        if self._phase is _HEAD:
            self._stream.resume_reading()

    def _drain_body(self, data: bytes) -> None:
        upload = self._upload
        if upload is None:
            return
        try:
            may_go_on = upload.drop(data)
        except RequestRefused:
            may_go_on = False
        if not may_go_on:
            self._close()
        elif upload.body.is_complete:
            self._upload, self._unparsed = None, upload.body.rest
            self._await_request()

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer without the core, and end the connection."""
        self._all.refusals[refused.reason] += 1
        self._stream.write(own_answer(refused.status, refused.message))
        self._linger()

    def _linger_or_close(self, upload: Upload | None) -> None:
        if upload is None and not self._unparsed:
            self._close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Drop later bytes for a moment, so that a reset does not discard the last response."""
        self._phase = Phase.CLOSING
        self._unparsed = b""
        self._gives_up_at = self._all.now() + self._all.timeouts.body
        self._stream.resume_reading()
        self._expect_within(self._all.timeouts.linger)

    def _close(self) -> None:
        self._phase = Phase.CLOSING
        if self._stream.is_writable:
            self._expect_within(self._all.timeouts.linger)
        self._stream.close()

    def _expect_within(self, seconds: float) -> None:
        self.deadline = self._all.now() + seconds
