"""Every way an operation can fail, in domain words.

The message of each of them is shown to the caller: it says what was wrong and holds nothing secret.
Which HTTP status stands for which error is known in one place only, `keystead.api.http.statuses`.
"""


class KeysteadError(Exception):
    """The base of all that a caller may be told."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(KeysteadError):
    """What the caller sent is malformed, out of range, or does not fit the key."""


class WrongState(KeysteadError):
    """The operation is not available in the HSM's present state."""


class NotAuthenticated(KeysteadError):
    """No credentials, or wrong ones; the message never tells which part was wrong."""


class TooManyAttempts(KeysteadError):
    """A failed attempt of this address and user is less than a second old."""


class NotPermitted(KeysteadError):
    """The caller is known and may not do this."""


class NotFound(KeysteadError):
    """The named thing does not exist for this caller."""


class AlreadyExists(KeysteadError):
    """The name is taken; nothing was changed."""


class Conflict(KeysteadError):
    """The thing is in a condition that excludes the change; nothing was changed."""


class QuotaExceeded(KeysteadError):
    """The namespace holds as much as it may; nothing was changed."""


class ConditionFailed(KeysteadError):
    """The thing is not what the request says it must be; nothing was changed."""


class TooLarge(KeysteadError):
    """The body is over the limit of its endpoint."""


class Overloaded(KeysteadError):
    """A bounded queue is full; the same request may succeed a moment later."""


class StoreUnavailable(KeysteadError):
    """The store cannot be reached or read; what it was asked to change last is in doubt."""


class WriteRefused(KeysteadError):
    """The store cannot write now, as on a full disk. Nothing has changed, and reading goes on."""


class StaleRevision(KeysteadError):
    """A record changed since it was read; read it again and decide again."""


class CorruptRecord(KeysteadError):
    """A stored record does not open at its path, or does not parse."""


class UnsupportedFormat(KeysteadError):
    """Stored data has a format version newer than this software, or foreign."""


class DecryptionFailed(KeysteadError):
    """A ciphertext or seal did not open. One message for every cause, on purpose."""


class SelfTestFailed(KeysteadError):
    """The software does not work as it must; the HSM stops."""


class StartRefused(KeysteadError):
    """The server will not start on this data directory or address; nothing was touched."""
