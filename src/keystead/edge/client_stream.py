"""The bytes of one client over TLS, in and out, as fast as the client and the edge take them.

The TLS library reads and writes the socket itself. It holds at most one record that the client does
not take. Everything else waits here.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from typing import Final, Protocol

from keystead.edge.tls import TlsSocket

RECORD_BYTES: Final = 16 * 1024
"""The longest content of a TLS record (RFC 8446, 5.1). The TLS library reads and writes one record
at a time."""

BLOCKED: Final = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""Raised if the TLS library has to wait for the socket. They are an OSError too."""


def received(plain: socket.socket, most: int) -> bytes | None:
    """Return what has come on a socket, b"" if that has ended or is broken, None if nothing has."""
    try:
        return plain.recv(most)
    except BlockingIOError:
        return None
    except OSError:
        return b""


class StreamOwner(Protocol):
    """What gets the bytes of a stream."""

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        ...

    def pause_writing(self) -> None:
        """Note that the client does not take what is written."""
        ...

    def resume_writing(self) -> None:
        """Note that the client has taken everything that was written."""
        ...

    def connection_lost(self) -> None:
        """Note the end of the connection. It is called once, and never by a call of the owner."""
        ...


class ClientStream:
    """What a connection writes to its client, and whether it reads from it now."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        accepted: socket.socket,
        tls: TlsSocket,
        owner: StreamOwner,
    ) -> None:
        """`tls` has ended its handshake on `accepted`, which belongs to the stream from here on."""
        self._loop: Final = loop
        self._socket: Final = accepted
        self._tls: Final = tls
        self._descriptor: Final = accepted.fileno()
        self._owner: Final = owner
        self._waiting: deque[memoryview] | None = None
        """What the client does not take now."""
        self._is_reading = True
        self._is_open = True
        self.is_closing = False
        """Whether nothing may be written any more."""
        self.is_writable = True
        """Whether the client takes what is written. Nothing waits if it does."""
        loop.add_reader(self._descriptor, self.read)

    def read(self) -> None:
        """Pass what the client has sent, of one record at most, to the owner."""
        try:
            data = self._tls.read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            return
        except OSError:
            # The TLS library has sent its alert. Or it has to answer the client first, in TLS 1.3
            # with a new key, and the client takes nothing: to try again would not end.
            data = b""
        if not data:  # A client that has ended its side of the connection is not answered.
            self.abort()
            return
        try:
            self._owner.data_received(data)
        except BaseException:
            self.abort()
            raise

    def write(self, data: bytes, more: bytes = b"") -> None:
        """Write as much of `data` and `more` as the client takes now, and the rest later.

        A long `more` is not copied. After `close` or `abort` nothing is written.
        """
        if len(data) + len(more) <= RECORD_BYTES:
            data, more = data + more, b""
        if self.is_closing or not (data or more):
            return
        if self.is_writable and not more:
            try:
                data = data[self._tls.write(data) :]
                if not data:
                    return
            except BLOCKED:  # It is tried again below, with the same bytes, as OpenSSL demands.
                pass
            except OSError:
                self.abort()
                return
        self._write_later(data, more)

    def close(self) -> None:
        """End the connection once what is written is sent. The client is read no more."""
        if not self.is_closing:
            self.is_closing = True
            if self.is_writable:
                self._close_tls()
            else:
                self.pause_reading()

    def abort(self) -> None:
        """End the connection at once."""
        if self._is_open:
            self._is_open = False
            self.is_closing = True
            self._waiting = None
            self.pause_reading()
            if not self.is_writable:
                self._loop.remove_writer(self._descriptor)
            self._socket.close()
            self._loop.call_soon(self._owner.connection_lost)

    def pause_reading(self) -> None:
        """Have the client wait with what it sends."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._descriptor)

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_reading and not self.is_closing:
            self._is_reading = True
            self._loop.add_reader(self._descriptor, self.read)

    def _write_later(self, data: bytes, more: bytes) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.extend(memoryview(part) for part in (data, more) if part)
        if self.is_writable:
            self._write_on()

    def _write_on(self) -> None:
        """Write what waits, up to what the client takes."""
        while self._waiting:
            data = self._waiting[0]
            try:
                sent = self._tls.write(data)
            except BLOCKED:
                self._await_client()
                return
            except OSError:
                self.abort()
                return
            if sent < len(data):
                self._waiting[0] = data[sent:]
            else:
                self._waiting.popleft()
        if self.is_writable:
            return
        self.is_writable = True
        self._loop.remove_writer(self._descriptor)
        self._owner.resume_writing()
        if self.is_closing and self._is_open:
            self._close_tls()

    def _await_client(self) -> None:
        if self.is_writable:
            self.is_writable = False
            self._loop.add_writer(self._descriptor, self._write_on)
            self._owner.pause_writing()

    def _close_tls(self) -> None:
        """Send the TLS library's farewell, and close the socket unless the client sends more.

        If a socket is closed with unread bytes, the kernel discards what the client has not read.
        """
        try:
            self._tls.shutdown()
        except ssl.SSLWantWriteError:
            self.is_writable = False
            self.pause_reading()
            self._loop.add_writer(self._descriptor, self._close_tls)
            return
        except ssl.SSLWantReadError:  # The usual case: the client has sent nothing since.
            pass
        except OSError:  # The client has sent more, or is gone.
            self._drop_the_rest()
            return
        self.abort()

    def _drop_the_rest(self) -> None:
        """Drop what the client sends until it closes. The owner's deadline is the bound."""
        self._loop.remove_writer(self._descriptor)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._is_reading = True
        self._loop.add_reader(self._descriptor, self._drop)

    def _drop(self) -> None:
        if received(self._socket, RECORD_BYTES) == b"":
            self.abort()
