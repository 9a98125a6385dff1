"""`keystead provision`, `unlock`, `lock`, `status`, `random`, `metrics` and `lockouts`."""

import base64
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from keystead.cli import passphrases
from keystead.cli.command import Invocation, add_yes, run_by
from keystead.cli.screen import write_file
from keystead.client.client import Client
from keystead.client.errors import WrongState

_WRONG_STATE: Final = 412
"""The HTTP status that the HSM itself would answer with."""


def add_provision(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead provision` takes."""
    run_by(parser, _provision)
    passphrases.add_options(parser, "unlock")
    passphrases.add_options(parser, "admin")
    add_shares(parser)
    parser.add_argument(
        "--time", metavar="RFC3339", help="the HSM's time (default: this machine's)"
    )


def add_unlock(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead unlock` takes."""
    run_by(parser, _unlock)
    passphrases.add_options(parser, "unlock")
    parser.add_argument(
        "--share",
        action="store_true",
        help="give one of the shares, in the place of the passphrase",
    )
    parser.add_argument(
        "--acknowledge-rollback",
        metavar="CODE",
        default="",
        help="open a store that is older than it should be; the HSM's refusal has the code",
    )


def add_lock(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead lock` takes."""
    run_by(parser, _lock)
    add_yes(parser)


def add_status(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead status` takes."""
    run_by(parser, _status)


def add_random(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead random` takes."""
    run_by(parser, _random)
    parser.add_argument("length", type=int, metavar="BYTES", help="how many, 1 to 1024")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write them as they are")


def add_metrics(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead metrics` takes."""
    run_by(parser, _metrics)
    parser.add_argument("--prometheus", action="store_true", help="as Prometheus reads them")


def add_lockouts(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead lockouts` takes."""
    run_by(parser, _lockouts)


def add_shares(parser: ArgumentParser) -> None:
    """Give `parser` the option that asks for shares instead of an unlock passphrase."""
    parser.add_argument(
        "--shares",
        type=_quorum,
        metavar="M/N",
        help="print N shares, of which M unlock, instead of setting an unlock passphrase",
    )


def show_shares(call: Invocation, answer: dict[str, list[str]]) -> None:
    """Show new shares, which nothing shows again."""
    if call.screen.is_json:
        call.screen.record(answer)
    else:
        call.screen.text("\n".join(answer["shares"]))
    call.screen.done("Give each share to another person. They are never shown again.")


def _quorum(text: str) -> dict[str, int]:
    """Parse M/N. Raises ArgumentTypeError if it is not two numbers."""
    threshold, _, shares = text.partition("/")
    if not (threshold.isdecimal() and shares.isdecimal()):
        raise ArgumentTypeError("give two numbers, as 3/5: three of five shares unlock")
    return {"threshold": int(threshold), "shares": int(shares)}


def now() -> str:
    """Return this machine's time as the API takes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251 - a clock is asked for


def _require_state(hsm: Client, wanted: str) -> None:
    """Raise WrongState before passphrases are typed in vain."""
    state = hsm.state()
    if state != wanted:
        raise WrongState(f"This is for an HSM that is {wanted}. It is {state}.", _WRONG_STATE)


def _provision(call: Invocation) -> None:
    hsm = call.anonymous
    _require_state(hsm, "Unprovisioned")
    wanted = {"systemTime": call.given.time or now()}
    if call.given.shares is None:
        unlock = passphrases.new(call.given, "unlock", "New unlock passphrase")
        wanted["unlockPassphrase"] = unlock
    else:
        wanted["unlockShares"] = call.given.shares
    admin = passphrases.new(call.given, "admin", "New passphrase of the user admin")
    answer = hsm.post("/provision", wanted | {"adminPassphrase": admin})
    if answer is not None:
        show_shares(call, answer)
        return
    call.screen.done("The HSM is Operational. Keep the unlock passphrase: without it all is lost.")


def _unlock(call: Invocation) -> None:
    hsm = call.anonymous
    _require_state(hsm, "Locked")
    field, what = ("share", "Share") if call.given.share else ("passphrase", "Unlock passphrase")
    wanted = {field: passphrases.present(call.given, "unlock", what)}
    if call.given.acknowledge_rollback:
        wanted["acknowledgeRollback"] = call.given.acknowledge_rollback
    answer = hsm.post("/unlock", wanted)
    if answer is not None:
        call.screen.done(f"{answer['have']} of {answer['need']} shares are given.")
        return
    call.screen.done("The HSM is Operational.")


def _lock(call: Invocation) -> None:
    call.require_consent("Lock the HSM? Nothing works until it is unlocked.")
    call.client.post("/lock")
    call.screen.done("The HSM is Locked.")


def _status(call: Invocation) -> None:
    hsm = call.anonymous
    call.screen.record({"state": hsm.state(), **hsm.get("/info")})


def _random(call: Invocation) -> None:
    answer = call.client.post("/random", {"length": call.given.length}, is_repeatable=True)
    if call.given.output is not None:
        write_file(call.given.output, [base64.b64decode(answer["random"])])
    elif call.screen.is_json:
        call.screen.record(answer)
    else:
        call.screen.text(answer["random"])


def _metrics(call: Invocation) -> None:
    if call.given.prometheus:
        call.screen.text(call.client.get_bytes("/metrics", accept="text/plain").decode())
    else:
        call.screen.record(call.client.get("/metrics"))


def _lockouts(call: Invocation) -> None:
    columns = {
        "user": "User",
        "address": "Address",
        "lockedOut": "Locked out",
        "failed": "Failed",
        "refused": "Refused",
        "firstFailure": "First",
        "lastFailure": "Last",
    }
    call.screen.rows(call.client.get("/health/lockouts"), columns)
