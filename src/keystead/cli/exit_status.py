"""What a command's exit status means, and what to do next after an error."""

from enum import IntEnum

from keystead.client.errors import (
    Busy,
    CannotConnect,
    NotAuthenticated,
    NotFound,
    UnexpectedAnswer,
    UntrustedCertificate,
    WrongState,
)
from keystead.errors import InvalidInput, KeysteadError


class ExitStatus(IntEnum):
    """The exit statuses; docs/client.md has the same table."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    CANNOT_CONNECT = 3
    NOT_AUTHENTICATED = 4
    WRONG_STATE = 5
    NOT_FOUND = 6
    BUSY = 7
    INTERRUPTED = 130


class UsageError(InvalidInput):
    """The command line lacks something, or does not fit together."""


class Declined(KeysteadError):
    """The person at the terminal said no."""


class CertificateDeclined(CannotConnect):
    """The person at the terminal said that the certificate is not the right one."""


_STATUS: dict[type[KeysteadError], ExitStatus] = {
    UsageError: ExitStatus.USAGE,
    CannotConnect: ExitStatus.CANNOT_CONNECT,
    CertificateDeclined: ExitStatus.CANNOT_CONNECT,
    UntrustedCertificate: ExitStatus.CANNOT_CONNECT,
    UnexpectedAnswer: ExitStatus.CANNOT_CONNECT,
    NotAuthenticated: ExitStatus.NOT_AUTHENTICATED,
    WrongState: ExitStatus.WRONG_STATE,
    NotFound: ExitStatus.NOT_FOUND,
    Busy: ExitStatus.BUSY,
}

_ADVICE: dict[type[KeysteadError], str] = {
    CannotConnect: "Is 'keystead serve' running there? --host HOST:PORT says where it is.",
    UntrustedCertificate: (
        "If it was replaced on purpose, compare the new one with what 'keystead tls install' or "
        "'generate' printed, or the server at its start. Then give its --pin, or replace the one "
        "of the profile with 'keystead profile add', or forget one that was trusted at a terminal "
        "with 'keystead profile forget HOST:PORT' and connect again."
    ),
    NotAuthenticated: "Check --user and the passphrase; an Administrator can set a new one.",
    Busy: "Try again in a moment.",
}

_ADVICE_ON_REFUSALS = {
    "Your role does not allow this.": (
        "Another --user may: Operators use keys, Administrators manage keys, users and settings, "
        "and backups, metrics and the journal have roles of their own."
    ),
    "The key's policy asks for an approval of this use, and none is granted.": (
        "Ask for one with 'keystead approvals request KEY --reason REASON'."
    ),
    "Invalid data for JSON schema: Invalid enum value": (
        "The HSM knows no such name: --help of the command, or /api_docs of the HSM, lists those "
        "that there are."
    ),
}
"""What to do next, by how the HSM's message begins; its tests fail if a message changes."""

STATE_ADVICE = {
    "Unprovisioned": "The HSM is Unprovisioned: run 'keystead provision' or 'keystead restore'.",
    "Locked": "The HSM is Locked: run 'keystead unlock'.",
    "Failed": (
        "The HSM is Failed: its store cannot be read, or a self-test failed. "
        "Look at the server's log."
    ),
}
"""What to do in each state after the HSM refused a command for its state."""


def status_of(error: KeysteadError) -> ExitStatus:
    """Return the exit status that an error stands for."""
    return _STATUS.get(type(error), ExitStatus.REFUSED)


def advice(error: KeysteadError) -> str:
    """Return what to do next; empty if the error says it all."""
    for beginning, step in _ADVICE_ON_REFUSALS.items():
        if error.message.startswith(beginning):
            return step
    return _ADVICE.get(type(error), "")
