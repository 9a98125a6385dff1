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
        "'generate' printed, or the server at its start. Then give its --pin, or forget the old "
        "one with 'keystead profile forget HOST:PORT' and connect again."
    ),
    NotAuthenticated: "Check --user and the passphrase; an Administrator can set a new one.",
    Busy: "Try again in a moment.",
}

_ROLE_REFUSED = "Your role does not allow this."
"""What the HSM says then; docs/log-events.md lists it among the messages that do not change."""
_ROLE_ADVICE = (
    "Another --user may: Operators use keys, Administrators manage keys, users and settings, and "
    "backups and metrics have roles of their own."
)

STATE_ADVICE = {
    "Unprovisioned": "The HSM is Unprovisioned: run 'keystead provision' or 'keystead restore'.",
    "Locked": "The HSM is Locked: run 'keystead unlock'.",
    "Failed": "The HSM is Failed: its store cannot be read. Look at the server's log.",
}
"""What to do in each state after the HSM refused a command for its state."""


def status_of(error: KeysteadError) -> ExitStatus:
    """Return the exit status that an error stands for."""
    return _STATUS.get(type(error), ExitStatus.REFUSED)


def advice(error: KeysteadError) -> str:
    """Return what to do next; empty if the error says it all."""
    if error.message == _ROLE_REFUSED:
        return _ROLE_ADVICE
    return _ADVICE.get(type(error), "")
