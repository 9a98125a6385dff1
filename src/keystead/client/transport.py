"""HTTPS to one of several hosts: pooled connections, pinned certificates, bounded retries."""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from keystead.client.errors import CannotConnect, UntrustedCertificate
from keystead.client.trust import Anyone, Endpoint, Pinned, SignedBy

REPEATS: Final = 2
"""How often all hosts are asked again before a busy HSM counts as busy."""
MOST_WAIT_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 10.0
_BUSY: Final = 503
_OTHER_HOSTS_MAY_DO: Final = frozenset({412, _BUSY})
_NOT_SENT: Final = (NewConnectionError, ConnectTimeoutError)
_ENDED: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, TimeoutError)

Answer = urllib3.BaseHTTPResponse


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; `target` is path and query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Iterable[bytes] | None = field(default=None, repr=False)
    is_repeatable: bool = False
    """Whether doing it twice does no harm, so that it may be sent again when its answer is lost."""
    is_streamed: bool = False
    """Whether the caller reads the answer's body while it arrives."""

    @property
    def is_whole(self) -> bool:
        """Whether the body is still there after it was sent once."""
        return self.body is None or isinstance(self.body, bytes)


class Transport:
    """Sends requests to the first host that answers. Any number of threads may share it."""

    def __init__(
        self, endpoints: Sequence[Endpoint], *, timeout_seconds: float, connections: int
    ) -> None:
        """Keep up to `connections` open to each host, and wait so long for each answer."""
        self._pools = [_pool(one, timeout_seconds, connections) for one in endpoints]
        self._first = 0

    def close(self) -> None:
        """Close the connections that are not in use."""
        for pool in self._pools:
            pool.close()

    def send(self, request: HttpRequest) -> Answer:
        """Return the answer, whatever its status.

        A host that is busy or in the wrong state passes the request on to the next one. Raises
        CannotConnect if none answers, or if one may have done what cannot be repeated.
        """
        answer = self._ask_all(request)
        for _ in range(REPEATS):
            if answer.status != _BUSY or not request.is_whole:
                break
            time.sleep(_wait_seconds(answer))
            answer = self._ask_all(request)
        return answer

    def _ask_all(self, request: HttpRequest) -> Answer:
        failure: CannotConnect | None = None
        answer: Answer | None = None
        for index, pool in self._in_turn():
            try:
                answer = _ask(pool, request)
            except _Unreached as error:
                failure = CannotConnect(str(error))
                continue
            if answer.status not in _OTHER_HOSTS_MAY_DO or not request.is_whole:
                self._first = index
                return answer
        if answer is None:
            raise failure or CannotConnect("There is no host to connect to.")
        return answer

    def _in_turn(self) -> Iterator[tuple[int, urllib3.HTTPSConnectionPool]]:
        """Yield the hosts, the one that answered last first."""
        first = self._first
        for index in range(first, first + len(self._pools)):
            yield index % len(self._pools), self._pools[index % len(self._pools)]


class _Connection(HTTPSConnection):
    """Tells a host that ends the connection before a request is sent from one that does later."""

    def connect(self) -> None:
        """Connect, and begin TLS. A host that stops at this moment cannot be reached."""
        try:
            super().connect()
        except _ENDED as error:
            raise NewConnectionError(self, str(error)) from error


class _Unreached(Exception):
    """Raised where a host did not do it, and another one may be asked."""


def _ask(pool: urllib3.HTTPSConnectionPool, request: HttpRequest) -> Answer:
    where = f"{pool.host}:{pool.port}"
    try:
        return pool.urlopen(
            request.method,
            request.target,
            body=request.body,
            headers=dict(request.headers),
            retries=False,
            redirect=False,
            preload_content=not request.is_streamed,
        )
    except SSLError as error:
        _require_trust(where, str(error))
        problem = f"TLS with {where} failed: {error}"
    except _NOT_SENT as error:
        raise _Unreached(f"{where} cannot be reached: {_reason(error)}.") from None
    except ReadTimeoutError:
        problem = f"{where} did not answer in time"
    except ProtocolError as error:
        problem = f"The connection to {where} broke ({_reason(error)})"
    except HTTPError as error:
        problem = f"{where}: {_reason(error)}"
    if request.is_repeatable and request.is_whole:
        raise _Unreached(f"{problem}.")
    raise CannotConnect(f"{problem}. The server may or may not have carried out the request.")


def _require_trust(where: str, failure: str) -> None:
    """Raise UntrustedCertificate if it is the certificate that TLS has failed for."""
    if "ingerprint" in failure:
        raise UntrustedCertificate(f"The certificate of {where} is not the pinned one.") from None
    if "CERTIFICATE_VERIFY_FAILED" in failure:
        raise UntrustedCertificate(
            f"The certificate of {where} is not trusted: {failure}"
        ) from None


def _reason(error: BaseException) -> str:
    """Return what the operating system says, which urllib3 wraps in several layers."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error).rpartition(": ")[2]


def _wait_seconds(answer: Answer) -> float:
    wanted = answer.headers.get("Retry-After", "1")
    return min(float(wanted) if wanted.isdecimal() else 1.0, MOST_WAIT_SECONDS)


def _pool(endpoint: Endpoint, timeout_seconds: float, size: int) -> urllib3.HTTPSConnectionPool:
    options: dict[str, Any] = {"cert_reqs": "CERT_NONE"}
    match endpoint.trust:
        case Pinned(sha256):
            options["assert_fingerprint"] = sha256
        case SignedBy(ca_file):
            options = {"cert_reqs": "CERT_REQUIRED", "ca_certs": ca_file}
        case Anyone():
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    pool = urllib3.HTTPSConnectionPool(
        endpoint.host,
        endpoint.port,
        timeout=urllib3.Timeout(
            connect=min(timeout_seconds, CONNECT_SECONDS), read=timeout_seconds
        ),
        maxsize=size,
        block=True,
        **options,
    )
    pool.ConnectionCls = _Connection
    return pool
