"""Signatures a second over TLS, beside the same signatures made in-process, in one run.

    python -m bench [--seconds 5] [--edges 1] [--json FILE]
    python -m bench --backups

It starts a server of its own on loopback, loads it with wrk and prints one table. Absolute figures
are this machine's; the ratios are what to compare.
"""

import argparse
import base64
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import cryptography

from bench import in_process
from bench.backups import SIZES, measure_backups, print_backups
from bench.load import Load, run_wrk
from bench.server import Server

DIGEST = bytes(range(32))
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420") + DIGEST
"""SHA-256's DigestInfo (RFC 8017, section 9.2) and a digest: what a PKCS1 caller sends."""


@dataclass(frozen=True)
class Case:
    """One kind of signature."""

    name: str
    key_type: str
    mechanism: str
    mode: str
    message: bytes
    length: int | None = None


CASES = (
    Case("P-256", "EC_P256", "ECDSA_Signature", "ECDSA", DIGEST),
    Case("Ed25519", "Curve25519", "EdDSA_Signature", "EdDSA", DIGEST),
    Case("secp256k1", "EC_P256K1", "ECDSA_Signature", "ECDSA", DIGEST),
    Case("RSA-2048", "RSA", "RSA_Signature_PKCS1", "PKCS1", DIGEST_INFO, 2048),
    Case("RSA-4096", "RSA", "RSA_Signature_PKCS1", "PKCS1", DIGEST_INFO, 4096),
)
CONNECTIONS = (1, 32)
WARM_UP_SECONDS = 1
"""The first request of a user takes an scrypt, the first one with a key a look into the store."""


@dataclass(frozen=True)
class Row:
    """What one case came to."""

    case: str
    in_process_per_second: float
    loads: dict[int, Load]

    def ratio(self) -> float:
        """Return throughput at most connections over one core in-process."""
        return self.loads[max(self.loads)].per_second / self.in_process_per_second


def measure(server: Server, case: Case, seconds: int) -> Row:
    """Make a key for the case and load it."""
    key_id = f"bench-{case.name}"
    server.generate(key_id, case.key_type, case.mechanism, case.length)
    body = json.dumps({"mode": case.mode, "message": base64.b64encode(case.message).decode()})

    def load(connections: int, seconds: int) -> Load:
        return run_wrk(
            f"{server.url}/keys/{key_id}/sign",
            body=body,
            authorization=server.operator,
            connections=connections,
            seconds=seconds,
        )

    load(1, WARM_UP_SECONDS)
    loads = {connections: load(connections, seconds) for connections in CONNECTIONS}
    return Row(case.name, in_process.signatures_per_second(case.key_type, case.length), loads)


def print_table(rows: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    many = max(CONNECTIONS)
    print(f"| case | in-process, one core | {many} connections | ratio ", end="")
    print("| p50 | p99 | 1 connection | p50 |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        one, most = row.loads[1], row.loads[many]
        print(
            f"| {row.case} | {row.in_process_per_second:,.0f}/s | {most.per_second:,.0f}/s "
            f"| {row.ratio():.2f} | {most.p50_ms:.2f} ms | {most.p99_ms:.2f} ms "
            f"| {one.per_second:,.0f}/s | {one.p50_ms:.2f} ms |"
        )


def main() -> int:
    """Run all cases; non-zero when a request was not answered with 200."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--edges", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--backups", action="store_true", help="measure restore and backup of many keys instead"
    )
    arguments = parser.parse_args()
    if arguments.backups:
        print_backups([measure_backups(keys) for keys in SIZES])
        return 0
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), arguments.edges) as server:
        rows = [measure(server, case, arguments.seconds) for case in CASES]
    print(f"Python {platform.python_version()}, cryptography {cryptography.__version__}, ", end="")
    print(f"{os.cpu_count()} CPUs shared with the load generator, {arguments.edges} edge(s)\n")
    print_table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(load.errors for row in rows for load in row.loads.values()))


if __name__ == "__main__":
    sys.exit(main())
