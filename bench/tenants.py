"""What a tenant notices of another tenant's flood, and a login of guesses from other networks.

Short rounds without and with the flood take turns, so that what else the machine does is in both.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event

from bench.load import Load
from bench.result import Row, at_most
from bench.run import Findings, Run
from bench.server import PREFIX, Server, ask, basic
from bench.signing import SIGNING, prepare

_FLOOD_CONNECTIONS = 64
_SETTLE_SECONDS = 0.5
"""A flood runs this much longer than its round, at both ends."""
_NETWORKS = 12
_GUESSES_EACH = 4
_LOGINS = 5
"""In a round without guesses, and in one with them."""
_LATE = "the passphrase of a late user"
_TENANT = "flooding"
_ADMIN = (f"{_TENANT}~admin", "an administrator of a tenant")
_OPERATOR = (f"{_TENANT}~operator", "an operator of a tenant")


def _p99(seconds: list[float]) -> float:
    return 1e3 * statistics.quantiles(seconds, n=100, method="inclusive")[98]


def _add_tenant(server: Server) -> str:
    """Make a namespace with an RSA-4096 key, and return the path that signs with it."""
    slow = SIGNING["rsa4096"]
    user = {"realName": "bench", "role": "Administrator", "passphrase": _ADMIN[1]}
    server.ask("PUT", f"/users/{_ADMIN[0]}", user)
    server.ask("PUT", f"/namespaces/{_TENANT}")
    wanted = {
        "id": "flood",
        "type": slow.key_type,
        "mechanisms": [slow.mechanism],
        "length": slow.length,
    }
    with server.connected() as connection:
        for method, path, content in (
            (
                "PUT",
                f"/users/{_OPERATOR[0]}",
                user | {"role": "Operator", "passphrase": _OPERATOR[1]},
            ),
            ("POST", "/keys/generate", wanted),
        ):
            ask(connection, method, path, content, authorization=basic(*_ADMIN))
    return "/keys/flood/sign"


def _by_turns(
    run: Run, one: Callable[[], None], flood: Callable[[float], Load]
) -> tuple[list[float], list[float]]:
    """Return the seconds that each call of `one` took without the flood, and with it."""
    calm, flooded = list[float](), list[float]()
    with ThreadPoolExecutor(1) as pool:
        for _ in range(run.rounds):
            _repeat(one, run.seconds, calm)
            storm: Future[Load] = pool.submit(flood, run.seconds + 2 * _SETTLE_SECONDS)
            time.sleep(_SETTLE_SECONDS)
            _repeat(one, run.seconds, flooded)
            storm.result()
    return calm, flooded


def _repeat(one: Callable[[], None], seconds: float, taken: list[float]) -> None:
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        one()
        taken.append(time.perf_counter() - began)


def _rows(case: str, calm: list[float], flooded: list[float]) -> list[Row]:
    before, beside = _p99(calm), _p99(flooded)
    medians = [1e3 * statistics.median(seconds) for seconds in (calm, flooded)]
    return [
        Row(f"{case}: p50 without", "ms", medians[:1]),
        Row(f"{case}: p50 with", "ms", medians[1:]),
        Row(f"{case}: p99 without", "ms", [before]),
        Row(f"{case}: p99 with", "ms", [beside]),
        Row(f"{case}: with over without", "", [beside / before], at_most(2)),
    ]


def measure_tenants(run: Run, server: Server) -> Findings:
    """Return the p99 of a tenant's RSA while another tenant has 64 signatures by RSA-4096 wait."""
    path = _add_tenant(server)
    body = SIGNING["rsa4096"].body

    def flood(seconds: float) -> Load:
        return server.load(
            [path],
            body,
            connections=_FLOOD_CONNECTIONS,
            seconds=seconds,
            authorization=basic(*_OPERATOR),
        ).load

    rows = []
    for signing in (SIGNING["rsa2048"], SIGNING["rsa4096"]):
        prepare(server, signing)
        with server.connected() as connection:

            def one(path: str = signing.path, body: object = signing.body) -> None:
                ask(connection, "POST", path, body)

            calm, flooded = _by_turns(run, one, flood)
        rows += _rows(f"{signing.title} beside a tenant's flood of RSA-4096", calm, flooded)
    return Findings(rows)


def measure_guesses(run: Run, server: Server) -> Findings:
    """Return the p99 of logins while 12 other networks guess passphrases."""
    users = [f"late{number}" for number in range(2 * run.rounds * _LOGINS)]
    for user in users:
        server.add_operator(user, _LATE)
    calm, flooded = list[float](), list[float]()
    for _ in range(run.rounds):
        calm += [_log_in(server, users.pop()) for _ in range(_LOGINS)]
        with _guesses(server):
            time.sleep(_SETTLE_SECONDS)
            flooded += [_log_in(server, users.pop()) for _ in range(_LOGINS)]
    return Findings(_rows("Logins beside guesses of 12 networks", calm, flooded))


def _log_in(server: Server, user: str) -> float:
    """Return the seconds that the first request of a user took."""
    with server.connected() as connection:
        connection.connect()
        began = time.perf_counter()
        ask(connection, "GET", "/keys", authorization=basic(user, _LATE))
        return time.perf_counter() - began


@contextmanager
def _guesses(server: Server) -> Iterator[None]:
    """Guess from each network on a few connections, with a new name each time."""
    stop = Event()

    def guess(number: int) -> None:
        address = f"127.0.1.{1 + number % _NETWORKS}"
        with server.connected(address) as connection:
            for attempt in count():
                if stop.is_set():
                    return
                name = f"nobody{number}x{attempt}"
                connection.request(
                    "GET", f"{PREFIX}/keys", headers={"Authorization": basic(name, "a guess")}
                )
                connection.getresponse().read()

    with ThreadPoolExecutor(_NETWORKS * _GUESSES_EACH) as pool:
        guessing = [pool.submit(guess, number) for number in range(_NETWORKS * _GUESSES_EACH)]
        try:
            yield
        finally:
            stop.set()
        for one in guessing:
            one.result()
