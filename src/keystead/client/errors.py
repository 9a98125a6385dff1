"""What can go wrong between a client and an HSM."""

from keystead.errors import KeysteadError


class ClientError(KeysteadError):
    """The base of all of them."""


class CannotConnect(ClientError):
    """No host answered, or the connection broke."""


class UntrustedCertificate(CannotConnect):
    """The server's certificate is not the one that was expected. Nothing was sent."""


class UnexpectedAnswer(ClientError):
    """What came back is not what an HSM answers."""


class Refused(ClientError):
    """The HSM said no; `status` is its HTTP status, `message` its reason."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotAuthenticated(Refused):
    """The user or the passphrase is wrong."""


class NotFound(Refused):
    """There is no such thing, or not for this user."""


class WrongState(Refused):
    """The HSM is not in a state in which it does this."""


class Busy(Refused):
    """The HSM cannot do this now: too many attempts, a full queue, a full disk."""


_BY_STATUS = {401: NotAuthenticated, 404: NotFound, 412: WrongState, 429: Busy, 503: Busy}


def refusal(status: int, message: str) -> Refused:
    """Return the error that an HTTP status stands for."""
    return _BY_STATUS.get(status, Refused)(message, status)
