"""Fast signatures beside slow ones, logins and restarts: what must not wait for what."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from bench.load import Target, run_wrk
from bench.processes import proportional_mib, resident_mib
from bench.result import Row, at_least, at_most
from bench.run import Findings, Run
from bench.server import ADMIN, PREFIX, Server, ask, basic
from bench.signing import SIGNING, prepare, sign

_STORM_CONNECTIONS = 256
"""More than may wait for the KDF: the rest is refused, and comes back at once."""
_STORM_USERS = 20_000
"""Distinct names, so that the brake on guessing does not answer for the KDF."""
_BATCH_MESSAGES = 1_000
_BATCH_SECONDS = 1
"""RSA-4096 signs the batch in about this time on two CPUs; later the P-256 keys are alone."""
_UNCACHED_KEYS = 300
_SETTLE_SECONDS = 2.0


def measure_beside_rsa(run: Run, server: Server) -> Findings:
    """Return P-256 on 4 connections while 8 connections sign RSA-4096."""
    fast, slow = SIGNING["p256"], SIGNING["rsa4096"]
    for signing in (fast, slow):
        prepare(server, signing)
    rates, latencies = [], []
    for _ in range(run.rounds):
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(sign, server, slow, connections=8, seconds=run.seconds + 2)
            time.sleep(0.5)
            load = sign(server, fast, connections=4, seconds=run.seconds).load
            others.result()
        rates.append(load.per_second)
        latencies.append(load.latency_ms[99])
    case = "P-256 on 4 connections while 8 sign RSA-4096"
    return Findings(
        [
            Row(case, "/s", rates, at_least(5_000)),
            Row(case + ": p99", "ms", latencies, at_most(6)),
        ]
    )


def measure_beside_batch(run: Run, server: Server) -> Findings:
    """Return P-256 on 4 connections while one connection has 1,000 messages signed by RSA-4096."""
    fast, slow = SIGNING["p256"], SIGNING["rsa4096"]
    for signing in (fast, slow):
        prepare(server, signing)
    digests = [slow.body["message"]] * _BATCH_MESSAGES
    latencies = []
    for _ in range(run.rounds):
        with ThreadPoolExecutor(1) as pool:
            batch = pool.submit(
                server.ask_as_operator, slow.path, {"mode": slow.mode, "messages": digests}
            )
            time.sleep(_SETTLE_SECONDS / 10)
            latencies.append(
                sign(server, fast, connections=4, seconds=_BATCH_SECONDS).load.latency_ms[99]
            )
            batch.result()
    case = f"P-256 on 4 connections while a batch of {_BATCH_MESSAGES:,} RSA-4096 is signed: p99"
    return Findings([Row(case, "ms", latencies, at_most(6))])


def measure_logins(run: Run, server: Server) -> Findings:
    """Return what warm users notice while strangers try passphrases as fast as they can."""
    signing = SIGNING["p256"]
    prepare(server, signing)
    before = resident_mib(server.pid)["core"]
    latencies, answers, grown = [], [], []
    for number in range(run.rounds):
        strangers = [
            Target(PREFIX + "/keys", basic(f"nobody{number}x{index}", "a wrong passphrase"))
            for index in range(_STORM_USERS)
        ]
        with ThreadPoolExecutor(1) as pool:
            storm = pool.submit(
                run_wrk,
                *(server.origin, strangers),
                body="",
                connections=_STORM_CONNECTIONS,
                seconds=run.seconds + 2,
                method="GET",
            )
            time.sleep(0.5)
            load = sign(server, signing, connections=4, seconds=run.seconds).load
            answers.append(storm.result().per_second)
        latencies.append(load.latency_ms[99])
        grown.append(resident_mib(server.pid)["core"] - before)
    case = f"P-256 on 4 connections while {_STORM_CONNECTIONS} try passphrases"
    return Findings(
        [
            Row(case + ": p99", "ms", latencies, at_most(50)),
            Row(case + ": tries answered", "/s", answers),
            Row(case + ": the core grows", "MiB", grown, at_most(100)),
        ]
    )


def measure_uncached(run: Run, server: Server) -> Findings:
    """Return how much longer the first signature with a key takes than the second one."""
    body = SIGNING["p256"].body
    rounds = []
    with server.connected() as connection:

        def seconds_to_sign(path: str) -> float:
            began = time.perf_counter()
            ask(connection, "POST", path, body)
            return time.perf_counter() - began

        for number in range(run.rounds):
            keys = [f"cold-{number}-{index}" for index in range(_UNCACHED_KEYS // run.rounds)]
            for key in keys:
                wanted = {"id": key, "type": "EC_P256", "mechanisms": ["ECDSA_Signature"]}
                ask(connection, "POST", "/keys/generate", wanted, authorization=ADMIN)
            paths = [f"/keys/{key}/sign" for key in keys]
            seconds_to_sign(paths[0])
            more = [seconds_to_sign(path) - seconds_to_sign(path) for path in paths[1:]]
            rounds.append(1e3 * statistics.median(more))
    return Findings([Row("First sign with a key, over a later one", "ms", rounds, at_most(1))])


def measure_idle(_: Run, server: Server) -> Findings:
    """Return the memory of all processes together, with nothing to do."""
    time.sleep(_SETTLE_SECONDS)
    memory = sum(resident_mib(server.pid).values())
    shared = proportional_mib(server.pid)
    case = "Idle memory of all processes"
    return Findings(
        [
            Row(case, "MiB", [memory], at_most(200)),
            Row(f"{case}, shared pages once (PSS)", "MiB", [shared]),
        ]
    )
