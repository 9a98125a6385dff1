"""`keystead system` and `keystead update`."""

from argparse import ArgumentParser
from pathlib import Path

from keystead.cli.command import Commands, Invocation, add_yes, run_by
from keystead.cli.exit_status import Declined
from keystead.cli.screen import counted_file, printable, say


def add_commands(parser: ArgumentParser) -> None:
    """Add the commands below `keystead system`."""
    commands = Commands(parser)
    commands.add("info", _info, "show versions and the device")
    commands.add("diagnose", _diagnose, "show what is wrong, if anything")
    for name, run, summary in (
        ("reboot", _reboot, "restart the HSM"),
        ("shutdown", _shutdown, "stop the HSM"),
        ("factory-reset", _factory_reset, "erase the HSM: all keys and users are gone"),
    ):
        add_yes(commands.add(name, run, summary))
    add_yes(commands.add("commit-update", _commit, "have a staged update take over"))
    commands.add("cancel-update", _cancel, "remove a staged update")


def add_update(parser: ArgumentParser) -> None:
    """Give `parser` what `keystead update` takes."""
    run_by(parser, _update)
    parser.add_argument("image", type=Path, metavar="IMAGE")
    add_yes(parser)


def _info(call: Invocation) -> None:
    call.screen.record(call.client.get("/system/info", {"details": "true"}))


def _diagnose(call: Invocation) -> None:
    call.screen.record(call.client.get("/health/diagnose", {"details": "true"}))


def _reboot(call: Invocation) -> None:
    call.require_consent("Restart the HSM? Without unattended boot it is Locked then.")
    call.client.post("/system/reboot")
    call.screen.done("The HSM restarts.")


def _shutdown(call: Invocation) -> None:
    call.require_consent("Stop the HSM?")
    call.client.post("/system/shutdown")
    call.screen.done("The HSM stops.")


def _factory_reset(call: Invocation) -> None:
    call.require_consent("ERASE the HSM, with all its keys and users, for ever?")
    call.client.post("/system/factory-reset")
    call.screen.done("The HSM is Unprovisioned.")


def _update(call: Invocation) -> None:
    """Stage an image, show its notes, and commit it or cancel."""
    with counted_file("Update", call.given.image) as image:
        answer = call.client.upload("/system/update", image, image.size)
    say(f"Release notes:\n{printable(answer['releaseNotes'])}")
    try:
        call.require_consent("Install this update? The HSM restarts.")
    except Declined:
        _cancel(call)
        raise
    _commit_now(call)


def _commit(call: Invocation) -> None:
    call.require_consent("Install the staged update? The HSM restarts.")
    _commit_now(call)


def _commit_now(call: Invocation) -> None:
    call.client.post("/system/commit-update")
    call.screen.done("The update is installed.")


def _cancel(call: Invocation) -> None:
    call.client.post("/system/cancel-update")
    call.screen.done("The update is removed, nothing has changed.")
