"""Signatures a second at many connections, beside the same in-process and by SoftHSM2."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import in_process
from bench.processes import cpu_seconds
from bench.result import Bound, Reference, Row, at_least, at_most
from bench.run import Findings, Plot, Run, Series
from bench.server import Measured, Server
from bench.softhsm import SoftHsm

DIGEST = bytes(range(32))
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420") + DIGEST
"""SHA-256's DigestInfo (RFC 8017, section 9.2) and a digest: what a PKCS1 caller sends."""
CONNECTIONS = 32
_PLOTTED_CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128)
_WARM_UP_SECONDS = 1
"""The first request of a user takes an scrypt, the first one with a key a look into the store."""
_PEER_SECONDS = 1.0


@dataclass(frozen=True)
class Signing:
    """One kind of signature, and what is wanted of it."""

    name: str
    title: str
    key_type: str
    mechanism: str
    mode: str
    message: bytes
    length: int | None
    peer_key: str | None
    """What SoftHSM2 calls the same; None: it has none."""
    target: Bound
    peer_ratio: Bound | None = None
    cores_left_ratio: Bound | None = None

    @property
    def body(self) -> dict[str, str]:
        """What a caller sends."""
        return {"mode": self.mode, "message": base64.b64encode(self.message).decode()}

    @property
    def path(self) -> str:
        """Where it is sent, once `prepare` has made the key."""
        return f"/keys/bench-{self.name}/sign"


SIGNING = {
    one.name: one
    for one in (
        Signing(
            *("p256", "P-256", "EC_P256", "ECDSA_Signature", "ECDSA", DIGEST, None, "EC_P256"),
            target=at_least(14_000),
            peer_ratio=at_least(1),
        ),
        Signing(
            *("ed25519", "Ed25519", "Curve25519", "EdDSA_Signature", "EdDSA", DIGEST, None),
            peer_key="Curve25519",
            target=at_least(12_000),
        ),
        Signing(
            *("secp256k1", "secp256k1", "EC_P256K1", "ECDSA_Signature", "ECDSA", DIGEST, None),
            peer_key="EC_P256K1",
            target=at_least(12_000),
        ),
        Signing(
            *("mldsa65", "ML-DSA-65", "ML_DSA_65", "ML_DSA_Signature", "ML_DSA", DIGEST, None),
            peer_key=None,
            target=at_least(1_000),
            cores_left_ratio=at_least(0.8),
        ),
        Signing(
            *("rsa2048", "RSA-2048", "RSA", "RSA_Signature_PKCS1", "PKCS1", DIGEST_INFO, 2048),
            peer_key="RSA-2048",
            target=at_least(4_000),
            peer_ratio=at_least(2.3),
            cores_left_ratio=at_least(0.75),
        ),
        Signing(
            *("rsa4096", "RSA-4096", "RSA", "RSA_Signature_PKCS1", "PKCS1", DIGEST_INFO, 4096),
            peer_key="RSA-4096",
            target=at_least(1_000),
            peer_ratio=at_least(5),
            cores_left_ratio=at_least(0.8),
        ),
    )
}


def prepare(server: Server, signing: Signing) -> None:
    """Make the key, and use it once."""
    server.generate(f"bench-{signing.name}", signing.key_type, signing.mechanism, signing.length)
    sign(server, signing, connections=1, seconds=_WARM_UP_SECONDS)


def sign(server: Server, signing: Signing, *, connections: int, seconds: float) -> Measured:
    """Load the server with this signature. RuntimeError when one was refused."""
    measured = server.load([signing.path], signing.body, connections=connections, seconds=seconds)
    if measured.load.errors:
        raise RuntimeError(f"{measured.load.errors} signatures were not made")
    return measured


def measure_signing(run: Run, server: Server, peer: SoftHsm | None, signing: Signing) -> Findings:
    """Return a row for each reference."""
    prepare(server, signing)
    cores = len(os.sched_getaffinity(0))
    rates, alone, left = [], [], []
    peers: dict[int, list[float]] = {1: [], 2: []}
    cpu_us: dict[str, float] = {}
    for _ in range(run.rounds):
        alone.append(in_process.signatures_per_second(signing.key_type, signing.length))
        before = cpu_seconds(server.pid)
        measured = sign(server, signing, connections=CONNECTIONS, seconds=run.seconds)
        after = cpu_seconds(server.pid)
        rates.append(measured.load.per_second)
        cpu_us = measured.cpu_us
        if signing.cores_left_ratio:
            others = sum(after[role] - before[role] for role in after if role != "core")
            share = 1 - others / measured.load.seconds / cores
            all_cores = in_process.signatures_per_second(
                signing.key_type, signing.length, threads=cores
            )
            left.append(all_cores * share)
        for threads, found in peers.items() if peer and signing.peer_key else ():
            found.append(
                peer.signatures_per_second(signing.peer_key, threads=threads, seconds=_PEER_SECONDS)
            )
    references = [Reference("in-process, one core", alone)]
    if signing.cores_left_ratio:
        name = "in-process, all cores, less what load and edge take"
        references.append(Reference(name, left, signing.cores_left_ratio))
    if peer and signing.peer_key:
        references.append(Reference("SoftHSM2, one thread", peers[1], signing.peer_ratio))
        references.append(Reference("SoftHSM2, two threads", peers[2]))
    case = f"{signing.title} sign, {CONNECTIONS} connections"
    first, *others_ = (Row(case, "/s", rates, reference=reference) for reference in references)
    return Findings([replace(first, target=signing.target, cpu_us=cpu_us), *others_])


def measure_unloaded(run: Run, server: Server) -> Findings:
    """Return the latency of P-256 on one connection."""
    signing = SIGNING["p256"]
    prepare(server, signing)
    rounds = [sign(server, signing, connections=1, seconds=run.seconds) for _ in range(run.rounds)]
    latencies = [measured.load.latency_ms[50] for measured in rounds]
    case = "P-256 sign, 1 connection: p50"
    return Findings([Row(case, "ms", latencies, at_most(0.4), cpu_us=rounds[-1].cpu_us)])


def measure_curves(run: Run, server: Server) -> Findings:
    """Return throughput and latency against the number of connections, as plots."""
    kinds = [SIGNING["p256"], SIGNING["rsa2048"]]
    for signing in kinds:
        prepare(server, signing)
    found = {
        (signing.title, connections): sign(
            server, signing, connections=connections, seconds=run.seconds
        ).load
        for signing in kinds
        for connections in _PLOTTED_CONNECTIONS
    }

    def throughput(title: str) -> Series:
        return Series(title, [(n, found[title, n].per_second) for n in _PLOTTED_CONNECTIONS])

    def percentile(percent: float) -> Series:
        points = [(n, found["P-256", n].latency_ms[percent]) for n in _PLOTTED_CONNECTIONS]
        return Series(f"p{percent:g}", points)

    titles: Sequence[str] = [signing.title for signing in kinds]
    x_label = "connections"
    return Findings(
        plots=[
            Plot(
                *("connections", "Throughput", x_label, "signatures/s"),
                [throughput(title) for title in titles],
            ),
            Plot(
                *("latency", "Latency of P-256", x_label, "ms"),
                [percentile(percent) for percent in (50, 90, 99, 99.9)],
            ),
        ]
    )
