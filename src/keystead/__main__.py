"""The command line: which command is where. A module is imported when its command is called."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

from keystead import __version__
from keystead.errors import KeysteadError
from keystead.processes.supervisor.standard_streams import open_standard_streams


class Command(NamedTuple):
    """A command: its summary, and the function that gives a parser what it takes."""

    name: str
    summary: str
    module: str
    function: str = "add_commands"


_CLI: Final = "keystead.cli"
_SERVER: Final = "keystead.server_commands"
_DOCTOR: Final = "keystead.processes.supervisor.doctor"
_SELF_TESTS: Final = "keystead.self_tests.command"
_LIFECYCLE: Final = f"{_CLI}.lifecycle"
_SYSTEM: Final = f"{_CLI}.system"

COMMANDS: Final = (
    Command("serve", "run the server in the foreground", _SERVER, "add_serve"),
    Command("doctor", "say what protects the server on this machine", _DOCTOR, "add_doctor"),
    Command("selftest", "test the algorithms and the entropy source", _SELF_TESTS),
    Command("image", "make and examine update images", "keystead.images"),
    Command("device-key", "see, move or replace the device key", "keystead.device_keys"),
    Command("cluster", "form a cluster, and see and change its members", "keystead.clusters"),
    Command("status", "show the state of the HSM", _LIFECYCLE, "add_status"),
    Command("provision", "set up a new HSM", _LIFECYCLE, "add_provision"),
    Command("unlock", "unlock the HSM after a start", _LIFECYCLE, "add_unlock"),
    Command("lock", "lock the HSM until it is unlocked again", _LIFECYCLE, "add_lock"),
    Command("keys", "make, import, show and use keys", f"{_CLI}.keys"),
    Command("approvals", "ask for, grant and refuse uses of keys", f"{_CLI}.approvals"),
    Command("attestation", "check what the HSM says of its keys", f"{_CLI}.attestation"),
    Command("users", "list, add, change and remove users", f"{_CLI}.users"),
    Command("namespaces", "list, add, limit and remove namespaces", f"{_CLI}.namespaces"),
    Command("random", "get random bytes", _LIFECYCLE, "add_random"),
    Command("backup", "make a backup, or examine one", "keystead.backup_files"),
    Command("restore", "restore a backup", f"{_CLI}.backups", "add_restore"),
    Command("journal", "export, shorten and verify the audit journal", f"{_CLI}.journal"),
    Command("config", "show and change settings", f"{_CLI}.config"),
    Command("tls", "see and replace the HSM's own certificate", f"{_CLI}.tls"),
    Command("system", "show, reboot, stop or erase the HSM", _SYSTEM),
    Command("update", "install an update image", _SYSTEM, "add_update"),
    Command("metrics", "show what the HSM counts", _LIFECYCLE, "add_metrics"),
    Command("lockouts", "show who failed to log in lately", _LIFECYCLE, "add_lockouts"),
    Command("console", "check the console that the HSM shows to browsers", f"{_CLI}.console"),
    Command("top", "watch the HSM at work", f"{_CLI}.top"),
    Command("migrate", "bring keys from a SoftHSM2 token or a folder", f"{_CLI}.migrate"),
    Command("ssh-agent", "sign for ssh and git with keys of the HSM", f"{_CLI}.ssh_agent"),
    Command("pkcs11", "say where the PKCS#11 module is", f"{_CLI}.pkcs11"),
    Command("profile", "save addresses, users and certificates of HSMs", f"{_CLI}.profiles"),
    Command("completion", "print the completion script of a shell", f"{_CLI}.completion"),
)

_EPILOG: Final = (
    "serve, doctor, selftest, image, device-key and cluster init, leave and force-new are for the "
    "machine of the server. To name the HSM to the other commands, give --host HOST:PORT after "
    "the command, or save a profile with 'keystead profile add'. 'keystead COMMAND --help' shows "
    "all that a command takes."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    open_standard_streams()
    given = sys.argv[1:] if arguments is None else arguments
    if "_ARGCOMPLETE" in os.environ:
        import_module(f"{_CLI}.completion").complete(parser_of(COMMANDS))
    parser = parser_of([one for one in COMMANDS if one.name in given[:1]])
    first = next(iter(given), "")
    if first.startswith("--") and not any(own.startswith(first) for own in ("--help", "--version")):
        parser.error(f"{first} stands after the command: 'keystead COMMAND {first} …'")
    options = parser.parse_args(given)
    try:
        status: int | None = options.run(options)
    except KeysteadError as error:
        print(f"keystead: {error.message}", file=sys.stderr)  # noqa: T201 - the answer to the user
        return 1
    return status or 0


def parser_of(called: Sequence[Command]) -> argparse.ArgumentParser:
    """Return a parser of the commands that are `called`.

    Without any, it knows the names of all: a command that is missing or misspelt is answered with
    them.
    """
    parser = argparse.ArgumentParser(
        prog="keystead",
        description="A network hardware security module in software.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"keystead {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for one in called or COMMANDS:
        its_parser = commands.add_parser(one.name, help=one.summary)
        if one in called:
            getattr(import_module(one.module), one.function)(its_parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
