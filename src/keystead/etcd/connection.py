"""One connection to etcd: HTTP/2 by h2, without threads, over any transport of asyncio."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from keystead.etcd.errors import EtcdInDoubt
from keystead.etcd.exchange import Exchange, never_sent

_WINDOW_BYTES: Final = 2**20
"""How much etcd may send on one stream before it is read."""
_CONNECTION_WINDOW_BYTES: Final = 2**24
"""The same for all streams, so that a slow reader of one does not stop the others."""
_DEFAULT_WINDOW_BYTES: Final = 2**16 - 1


class _Upload:
    """What remains to be sent on a stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_last = False


class EtcdConnection(asyncio.Protocol):
    """An asyncio protocol for calls, any number at a time."""

    def __init__(self, *, max_bytes: int) -> None:
        """`max_bytes` is the largest message that is taken from etcd."""
        self._max_bytes = max_bytes
        self._http = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._transport: asyncio.Transport | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._uploads: dict[int, _Upload] = {}
        self._is_flushing = False
        self._takes_calls = True
        self._ended = asyncio.Event()

    @property
    def takes_calls(self) -> bool:
        """Whether a new call can begin on this connection."""
        return self._transport is not None and self._takes_calls

    # --- for the client --------------------------------------------------------------------

    def begin(self, headers: list[tuple[str, str]]) -> tuple[int, Exchange]:
        """Begin a call. Return the number of its stream, and what it will receive.

        Raises EtcdUnavailable if the connection has ended.
        """
        if not self.takes_calls:
            raise never_sent("the connection has ended.")
        stream = self._http.get_next_available_stream_id()
        exchange = Exchange(
            max_bytes=self._max_bytes, allow_more=lambda size: self._allow_more(stream, size)
        )
        self._http.send_headers(stream, headers)
        self._exchanges[stream] = exchange
        self._uploads[stream] = _Upload()
        return stream, exchange

    def send(self, stream: int, data: bytes, *, is_last: bool) -> None:
        """Send bytes of a call as soon as etcd takes them."""
        upload = self._uploads.get(stream)
        if upload is None:
            return
        upload.data += data
        upload.is_last = is_last
        self._send_some(stream, upload)
        self._flush_soon()

    def end(self, stream: int) -> None:
        """Forget a call. etcd is told if it is not over."""
        exchange = self._exchanges.pop(stream, None)
        upload = self._uploads.pop(stream, None)
        if exchange is None:
            return
        is_over = exchange.has_ended and upload is None
        exchange.finish({})
        if self._transport is not None and not is_over:
            self._reset(stream)

    async def close(self) -> None:
        """End the connection, and with it what is under way."""
        if self._transport is not None:
            self._transport.abort()
            await self._ended.wait()

    # --- for the transport -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin HTTP/2."""
        self._transport = cast("asyncio.Transport", transport)
        self._http.initiate_connection()
        self._http.update_settings(
            {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES, SettingCodes.ENABLE_PUSH: 0}
        )
        self._http.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what etcd has sent. A violation of HTTP/2 ends the connection."""
        try:
            for event in self._http.receive_data(data):
                self._happened(event)
            for stream, upload in list(self._uploads.items()):
                self._send_some(stream, upload)
        except (H2Error, UnicodeDecodeError):
            self._flush()
            if self._transport is not None:
                self._transport.abort()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way: etcd may have done it."""
        self._transport = None
        error = EtcdInDoubt(f"The connection to etcd has ended{f': {exc}' if exc else ''}.")
        exchanges, self._exchanges = self._exchanges, {}
        self._uploads.clear()
        for exchange in exchanges.values():
            exchange.fail(error)
        self._ended.set()

    # --- inside ----------------------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self._terminated(event.last_stream_id or 0)
            return
        if isinstance(event, StreamReset):
            # A call can be refused in the middle of its request. Its stream takes no more then.
            self._uploads.pop(event.stream_id, None)
        exchange = self._exchanges.get(getattr(event, "stream_id", None) or 0)
        match event:
            case DataReceived():
                self._received(event, exchange)
            case ResponseReceived() | TrailersReceived() if exchange is not None:
                self._received_headers(exchange, dict(cast("list[tuple[str, str]]", event.headers)))
            case StreamReset(error_code=ErrorCodes.REFUSED_STREAM) if exchange is not None:
                exchange.fail(never_sent("it takes no more calls."))
            case StreamEnded() | StreamReset() if exchange is not None:
                exchange.finish({})
            case _:
                return  # Settings, pings and windows are the library's, or the call is forgotten.

    def _received(self, event: DataReceived, exchange: Exchange | None) -> None:
        window_bytes = event.flow_controlled_length or 0
        if exchange is None:
            self._allow_more(event.stream_id, window_bytes)
        else:
            exchange.received(event.data or b"", window_bytes)

    @staticmethod
    def _received_headers(exchange: Exchange, headers: Mapping[str, str]) -> None:
        if "grpc-status" in headers:
            exchange.finish(headers)
        elif headers.get(":status", "200") != "200":
            exchange.fail(EtcdInDoubt(f"etcd answers with HTTP status {headers[':status']}."))

    def _terminated(self, last_stream: int) -> None:
        """Begin no more calls. Those after `last_stream` were not begun by etcd either."""
        self._takes_calls = False
        for stream, exchange in list(self._exchanges.items()):
            if stream > last_stream:
                exchange.fail(never_sent("it is stopping."))

    def _send_some(self, stream: int, upload: _Upload) -> None:
        """Send as much as the window of etcd allows."""
        while upload.data:
            room = min(
                self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size
            )
            if room <= 0:
                return
            self._http.send_data(stream, bytes(upload.data[:room]))
            del upload.data[:room]
        if upload.is_last:
            self._http.end_stream(stream)
            del self._uploads[stream]

    def _allow_more(self, stream: int, size: int) -> None:
        if self._transport is not None and size:
            self._http.acknowledge_received_data(size, stream)
            self._flush_soon()

    def _reset(self, stream: int) -> None:
        try:
            self._http.reset_stream(stream, ErrorCodes.CANCEL)
        except H2Error:
            return  # The stream has ended just now.
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._transport is not None:
            self._transport.write(self._http.data_to_send())
