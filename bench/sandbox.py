"""What the sandbox costs: the same server with and without it, by turns."""

from contextlib import ExitStack

from bench.result import Reference, Row, at_least
from bench.run import Findings, Run
from bench.server import Server
from bench.signing import CONNECTIONS, SIGNING, prepare, sign

_WITHOUT = "--insecure-no-sandbox"


def measure_sandbox(run: Run) -> Findings:
    """Return P-256 in the sandbox, over P-256 without seccomp and Landlock."""
    signing = SIGNING["p256"]
    rates: dict[str, list[float]] = {"sandboxed": [], "free": []}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(Server(run.folder / name, edges=run.edges, options=options))
            for name, options in (("sandboxed", ()), ("free", (_WITHOUT,)))
        }
        for server in servers.values():
            server.provision()
            prepare(server, signing)
        # Twice the rounds: a few per cent are looked for.
        for _ in range(2 * run.rounds):
            for name, server in servers.items():
                measured = sign(server, signing, connections=CONNECTIONS, seconds=run.seconds)
                rates[name].append(measured.load.per_second)
    reference = Reference(f"with {_WITHOUT}", rates["free"], at_least(0.95))
    case = f"P-256 sign, {CONNECTIONS} connections, in the sandbox"
    return Findings([Row(case, "/s", rates["sandboxed"], reference=reference)])
