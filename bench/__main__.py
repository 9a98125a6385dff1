"""Everything that Keystead is to be fast at, measured in one run on this machine, in one table.

    python -m bench [--only p256,rsa2048] [--seconds 3] [--rounds 3] [--keys 1000000]

It starts servers of its own on loopback, loads them, and ends with status 1 when a target is missed
(--strict) or a request failed. Absolute figures are the machine's and the hour's; ratios are of
rounds that took turns. docs/performance.md explains the rest.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench import machine, mixed, plots, signing
from bench.accountable import measure_accountable
from bench.backups import measure_backups
from bench.batches import measure_batches, measure_secret_keys
from bench.budget import measure_budget
from bench.cluster import measure_cluster
from bench.handshakes import measure_handshakes
from bench.key_generation import measure_generation
from bench.listings import measure_listings
from bench.many_keys import measure_many_keys
from bench.pkcs11 import measure_pkcs11
from bench.result import Row, table
from bench.run import Findings, Plot, Run
from bench.sandbox import measure_sandbox
from bench.server import Server
from bench.softhsm import SoftHsm
from bench.tenants import measure_guesses, measure_tenants
from bench.verification import measure_verification

Measure = Callable[[Run, Server], Findings]


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    only: Sequence[str]
    seconds: float
    rounds: int
    edges: int
    keys: int
    folder: Path
    out: Path
    strict: bool


def _signing_cases(peer: SoftHsm | None) -> dict[str, Measure]:
    def measure(one: signing.Signing, run: Run, server: Server) -> Findings:
        return signing.measure_signing(run, server, peer, one)

    cases: dict[str, Measure] = {
        name: partial(measure, one) for name, one in signing.SIGNING.items()
    }
    return cases | {"batches": partial(measure_batches, peer=peer)}


_OTHER_CASES: dict[str, Measure] = {
    "secret-keys": measure_secret_keys,
    "accountable": measure_accountable,
    "unloaded": signing.measure_unloaded,
    "mixed": mixed.measure_beside_rsa,
    "mixed-batch": mixed.measure_beside_batch,
    "handshakes": measure_handshakes,
    "uncached": mixed.measure_uncached,
    "generate": measure_generation,
    "logins": mixed.measure_logins,
    "tenants": measure_tenants,
    "guesses": measure_guesses,
    "idle": mixed.measure_idle,
    "curves": signing.measure_curves,
    "pkcs11": measure_pkcs11,
}
"""Each gets a fresh server."""
_OWN_SERVERS: dict[str, Callable[[Run], Findings]] = {
    "sandbox": measure_sandbox,
    "budget": measure_budget,
    "keys": measure_many_keys,
    "listings": measure_listings,
    "verification": measure_verification,
    "backups": measure_backups,
    "cluster": measure_cluster,
}
"""They start servers of their own, or none."""
_WITH_PEER = (*signing.SIGNING, "batches")
_ALL = (*_WITH_PEER, *_OTHER_CASES, *_OWN_SERVERS)


def _peer(folder: Path) -> SoftHsm | None:
    try:
        return SoftHsm(folder)
    except FileNotFoundError as error:
        print(f"bench: without the peer: {error}", file=sys.stderr)
        return None


def _measure(options: Options, folder: Path) -> Findings:
    run = Run(folder, options.seconds, options.rounds, options.edges, options.keys)
    wants_peer = any(name in _WITH_PEER for name in options.only)
    cases = _signing_cases(_peer(folder) if wants_peer else None) | _OTHER_CASES
    rows, drawn, failures = list[Row](), list[Plot](), list[str]()
    for name in options.only:
        print(f"bench: {name}", file=sys.stderr, flush=True)
        try:
            found = _measure_one(run, name, cases)
        except RuntimeError as error:
            failures.append(f"{name}: {error}")
        else:
            rows += found.rows
            drawn += found.plots
    return Findings(rows, drawn, failures)


def _measure_one(run: Run, name: str, cases: Mapping[str, Measure]) -> Findings:
    if name in _OWN_SERVERS:
        return _OWN_SERVERS[name](run)
    with Server(run.folder / name, edges=run.edges) as server:
        server.provision()
        return cases[name](run, server)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=_ALL,
        metavar="CASE,…",
        help=f"of {', '.join(_ALL)}",
    )
    parser.add_argument("--seconds", type=float, default=3, help="of one round under load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--edges", type=int, default=1)
    parser.add_argument("--keys", type=int, default=100_000, help="in the largest store")
    parser.add_argument("--folder", type=Path, default=Path("bench/results"))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("bench/results/last"),
        help="where table, data and plots are written too",
    )
    parser.add_argument("--strict", action="store_true", help="a missed target is a failure")
    options = Options(**vars(parser.parse_args()))
    if unknown := set(options.only) - set(_ALL):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return options


def _report(options: Options, described: dict[str, object], found: Findings) -> str:
    settings = f"edges {options.edges}, rounds {options.rounds} of {options.seconds:g} s"
    facts = ", ".join(f"{name} {value}" for name, value in described.items())
    failures = "".join(f"\nNot measured: {failure}\n" for failure in found.failures)
    return f"{facts}; {settings}\n\n{table(found.rows)}{failures}"


def _write(out: Path, report: str, described: dict[str, object], found: Findings) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.md").write_text(f"# Figures\n\n{report}")
    data = {
        "machine": described,
        "rows": [row.as_data() for row in found.rows],
        "plots": [asdict(plot) for plot in found.plots],
    }
    (out / "figures.json").write_text(json.dumps(data, indent=2) + "\n")
    for plot in found.plots:
        (out / f"{plot.name}.svg").write_text(plots.draw(plot))


def main() -> int:
    """Run what was asked for."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    described = machine.describe()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = _measure(options, Path(folder))
    report = _report(options, described, found)
    print(report)
    _write(options.out, report, described, found)
    return int(
        bool(found.failures) or (options.strict and any(row.met is False for row in found.rows))
    )


if __name__ == "__main__":
    sys.exit(main())
