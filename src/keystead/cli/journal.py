"""`keystead journal`: show, head, key, delete, config, verify, stamp."""

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from keystead import journal_verify
from keystead.cli.command import Commands, Invocation, add_yes, run_offline
from keystead.cli.exit_status import ExitStatus, UsageError
from keystead.cli.screen import Screen, write_file
from keystead.client.time_stamps import TimeStampRequest, ask_authority


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead journal`."""
    commands = Commands(parser)
    showing = commands.add("show", _show, "export entries as JSON lines")
    showing.add_argument("--from", dest="start", type=int, default=1, metavar="N")
    showing.add_argument("--limit", type=int, metavar="N", help="(default: all)")
    _add_output(showing)
    _add_output(
        commands.add("head", _head, "sign and print the present head, to be kept elsewhere")
    )
    _add_output(commands.add("key", _key, "print the public key that verifies the journal"))
    deleting = commands.add("delete", _delete, "delete old entries, which were exported before")
    deleting.add_argument("upto", type=int, metavar="N", help="the last entry to delete")
    add_yes(deleting)
    setting = commands.add("config", _config, "show and change what the journal records")
    setting.add_argument("--uses", choices=("off", "counted", "each"))
    setting.add_argument("--when-full", choices=("refuse", "overwrite"))
    setting.add_argument("--max-bytes", type=int, metavar="N")
    _add_verify(commands)
    _add_stamp(commands)


def _add_output(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="(default: stdout)")


def _add_verify(commands: Commands) -> None:
    parser = commands.add_group("verify", "verify exported entries, without an HSM")
    run_offline(parser, _verify)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--key", type=Path, required=True, help="the journal's public key (PEM)")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--head", type=Path, help="a head that was kept elsewhere")
    known.add_argument(
        "--checkpoint",
        metavar="N:CHAIN",
        help="`entry` and `chain` of the event `journal checkpoint` at a syslog server",
    )
    parser.add_argument(
        "--from",
        dest="start",
        type=int,
        metavar="N",
        help="the first entry, if it is not the first",
    )


def _add_stamp(commands: Commands) -> None:
    parser = commands.add_group("stamp", "have an authority sign when a head existed (RFC 3161)")
    run_offline(parser, _stamp)
    parser.add_argument("file", type=Path, metavar="FILE", help="a head, or any other file")
    parser.add_argument("--tsa", required=True, metavar="URL", help="the authority, by HTTP(S)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")


def _show(call: Invocation) -> None:
    given = call.given
    limit = "" if given.limit is None else f"&limit={given.limit}"
    path = f"/journal?from={given.start}{limit}"
    write_file(given.output, call.client.download(path, method="GET"), is_text=True)


def _head(call: Invocation) -> None:
    write_file(call.given.output, [call.client.get_bytes("/journal/head")], is_text=True)


def _key(call: Invocation) -> None:
    write_file(call.given.output, [call.client.get_bytes("/journal/key.pem")], is_text=True)


def _delete(call: Invocation) -> None:
    upto = call.given.upto
    call.require_consent(f"Delete all entries up to number {upto} for ever?")
    call.client.delete(f"/journal?upto={upto}")
    call.screen.done(f"The entries up to number {upto} are deleted.")


def _config(call: Invocation) -> None:
    given, path = call.given, "/config/journal"
    wanted = {"uses": given.uses, "whenFull": given.when_full, "maxBytes": given.max_bytes}
    changes = {name: value for name, value in wanted.items() if value is not None}
    if changes:
        call.client.put(path, {**call.client.get(path), **changes})
    call.screen.record(call.client.get(path))


def _logged(text: str) -> journal_verify.KeptCheckpoint:
    """Return the checkpoint that a log names. Raises UsageError if it is none."""
    found = re.fullmatch(r"([1-9][0-9]{0,15}):([0-9a-f]{64})", text)
    if found is None:
        raise UsageError("A checkpoint is its entry, a colon, and 64 digits of its chain.")
    return journal_verify.KeptCheckpoint(int(found[1]), bytes.fromhex(found[2]))


def _verify(given: Namespace) -> int:
    head = None if given.checkpoint is None else _logged(given.checkpoint)
    try:
        key = journal_verify.load_key(journal_verify.read_short(given.key))
        if given.head is not None:
            head = journal_verify.load_head(journal_verify.read_short(given.head), key)
    except journal_verify.Unverifiable as error:
        raise UsageError(str(error)) from None
    with given.file.open("rb") as file:
        lines = journal_verify.lines_of(file)
        report = journal_verify.verify(lines, key, head=head, start=given.start)
    faults = [{"entry": fault.entry, "reason": fault.reason} for fault in report.faults]
    screen = Screen(is_json=given.json)
    if given.json:
        screen.record({"intact": report.is_intact, "last": report.last, "faults": faults})
    else:
        for line in journal_verify.describe(report):
            screen.text(line)
    return ExitStatus.DONE if report.is_intact else ExitStatus.REFUSED


def _stamp(given: Namespace) -> int:
    request = TimeStampRequest.of(given.file.read_bytes())
    write_file(given.output, [ask_authority(given.tsa, request)], is_text=True)
    return ExitStatus.DONE
