"""What a policy and the journal cost a signature: with and without, by turns."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.result import Reference, Row, at_least
from bench.run import Findings, Run
from bench.server import Server
from bench.signing import CONNECTIONS, SIGNING, prepare

_POLICY = {
    "modes": ["ECDSA"],
    "clients": ["127.0.0.0/8", "::1/128"],
    "notBefore": "2020-01-01T00:00:00Z",
    "maxUses": 10**9,
}
_WITH_POLICY = "bench-policy"
_TURNS = 4
"""Times the rounds of other cases: a few per cent are looked for."""


@dataclass(frozen=True)
class _Way:
    """A way to make the signature."""

    path: str
    journal: str
    """What the journal records of uses."""


def measure_accountable(run: Run, server: Server) -> Findings:
    """Return P-256 with a policy over P-256 without, and with the journal over without."""
    signing = SIGNING["p256"]
    prepare(server, signing)
    server.generate(_WITH_POLICY, signing.key_type, signing.mechanism)
    server.ask("PUT", f"/keys/{_WITH_POLICY}/policy", _POLICY)
    ways = {
        "off": _Way(signing.path, "off"),
        "counted": _Way(signing.path, "counted"),
        "each": _Way(signing.path, "each"),
        "policy": _Way(f"/keys/{_WITH_POLICY}/sign", "counted"),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways.items())
    for _ in range(_TURNS * run.rounds):
        for name, way in order:
            rates[name].append(_rate(run, server, way))
        order.reverse()  # A way that leaves work behind is as often before one as after it.
    off, counted = rates["off"], rates["counted"]
    return Findings(
        [
            _row("a policy of four rules", rates["policy"], "without", counted, 0.95),
            _row("the journal, uses counted", counted, "uses off", off, 0.97),
            _row("the journal, uses each", rates["each"], "uses off", off, 0.85),
        ]
    )


def _rate(run: Run, server: Server, way: _Way) -> float:
    settings = {"uses": way.journal, "whenFull": "overwrite", "maxBytes": 2**28}
    server.ask("PUT", "/config/journal", settings)
    measured = server.load(
        [way.path], SIGNING["p256"].body, connections=CONNECTIONS, seconds=run.seconds
    )
    if measured.load.errors:
        raise RuntimeError(f"{measured.load.errors} signatures were not made")
    return measured.load.per_second


def _row(
    case: str, rates: Sequence[float], without: str, references: Sequence[float], wanted: float
) -> Row:
    reference = Reference(without, references, at_least(wanted))
    return Row(f"P-256 sign, {CONNECTIONS} connections, {case}", "/s", rates, reference=reference)
