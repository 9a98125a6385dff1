"""Batches of 256 messages on four connections, and the symmetric mechanisms beyond NetHSM's."""

import base64
import os

from bench import in_process
from bench.result import Bound, Reference, Row, at_least
from bench.run import Findings, Run
from bench.server import Server
from bench.signing import CONNECTIONS, DIGEST, SIGNING, Signing
from bench.softhsm import SoftHsm

MESSAGES = 256
BATCH_CONNECTIONS = 4
_PEER_SECONDS = 1.0
_THREADS_RATIO = {"p256": at_least(0.75), "ed25519": at_least(0.7), "secp256k1": at_least(0.7)}
"""Of two threads of the library in one process."""
_PEER_RATIO = {"p256": at_least(2.5)}
_BLOCK = bytes(4096)


def measure_batches(run: Run, server: Server, peer: SoftHsm | None) -> Findings:
    """Return messages a second for each curve, beside two threads in-process and SoftHSM2."""
    rows = []
    for name, wanted in _THREADS_RATIO.items():
        rows += _measure_batch(run, server, SIGNING[name], wanted, peer)
    return Findings(rows)


def _measure_batch(
    run: Run, server: Server, signing: Signing, wanted: Bound, peer: SoftHsm | None
) -> list[Row]:
    server.generate(f"bench-{signing.name}", signing.key_type, signing.mechanism)
    digests = [base64.b64encode(DIGEST).decode()] * MESSAGES
    content = {"mode": signing.mode, "messages": digests}
    rates, threads, peers = [], [], []
    for _ in range(run.rounds):
        threads.append(in_process.signatures_per_second(signing.key_type, None, threads=2))
        measured = server.load(
            [signing.path], content, connections=BATCH_CONNECTIONS, seconds=run.seconds
        )
        if measured.load.errors:
            raise RuntimeError(f"{measured.load.errors} batches were not signed")
        rates.append(measured.load.per_second * MESSAGES)
        if peer:
            peers.append(
                peer.signatures_per_second(signing.peer_key, threads=1, seconds=_PEER_SECONDS)
            )
    case = f"{signing.title} batches of {MESSAGES}, {BATCH_CONNECTIONS} connections"
    references = [Reference("in-process, two threads", threads, wanted)]
    if peer:
        references.append(Reference("SoftHSM2, one thread", peers, _PEER_RATIO.get(signing.name)))
    return [Row(case, "/s", rates, reference=reference) for reference in references]


def measure_secret_keys(run: Run, server: Server) -> Findings:
    """Return how many messages a second AES-GCM encrypts and HMAC authenticates."""
    names = {
        "encrypt": ("AES_Encryption_GCM", "AES_GCM", _BLOCK, "AES-GCM encrypt of 4 KiB", 20_000),
        "sign": ("HMAC_SHA256", "HMAC_SHA256", os.urandom(64), "HMAC-SHA256 of 64 bytes", 22_000),
    }
    rows = []
    for verb, (mechanism, mode, message, title, target) in names.items():
        key_id = f"bench-{verb}"
        server.generate(key_id, "Generic", mechanism, 256)
        content = {"mode": mode, "message": base64.b64encode(message).decode()}
        loads = [
            server.load(
                [f"/keys/{key_id}/{verb}"], content, connections=CONNECTIONS, seconds=run.seconds
            )
            for _ in range(run.rounds)
        ]
        rates = [measured.load.per_second for measured in loads]
        case = f"{title}, {CONNECTIONS} connections"
        rows.append(Row(case, "/s", rates, at_least(target), cpu_us=loads[-1].cpu_us))
    return Findings(rows)
