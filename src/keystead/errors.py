"""Every way an operation can fail, in domain words.

The caller sees the message of each error, so it says what was wrong and holds no secret. Only
`keystead.api.http.statuses` knows the HTTP status of each error.
"""


class KeysteadError(Exception):
    """The base class of all errors that a caller may see."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(KeysteadError):
    """The input is malformed, out of range, or does not fit the key."""


class WrongState(KeysteadError):
    """The operation is not available in the HSM's present state."""


class NotAuthenticated(KeysteadError):
    """The credentials are missing or wrong. The message never says which part was wrong."""


class TooManyAttempts(KeysteadError):
    """An attempt of this address and user has failed less than a second ago."""


class NotPermitted(KeysteadError):
    """The caller is known and may not do this."""


class ForbiddenByPolicy(NotPermitted):
    """The policy of the key forbids this use. The message names the rule."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        """`retry_after_seconds` is when the rule allows the use, if that is a matter of time."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotFound(KeysteadError):
    """The named thing does not exist for this caller."""


class AlreadyExists(KeysteadError):
    """The name is taken. Nothing was changed."""


class Conflict(KeysteadError):
    """The resource is in a condition that excludes the change. Nothing was changed."""


class StoreRolledBack(Conflict):
    """The store is not the one that was written last. It opens once someone acknowledges that."""

    def __init__(self, message: str, *, code: str) -> None:
        """`code` acknowledges what the message names, and nothing else."""
        super().__init__(message)
        self.code = code


class QuotaExceeded(KeysteadError):
    """The namespace's quota does not allow the change. Nothing was changed."""


class ConditionFailed(KeysteadError):
    """The resource does not meet the request's condition. Nothing was changed."""


class TooLarge(KeysteadError):
    """The body is over the limit of its endpoint."""


class Overloaded(KeysteadError):
    """A bounded queue is full. The same request may succeed a moment later."""


class NotUpToDate(KeysteadError):
    """A member of a cluster may not know what others have changed. The request did nothing."""


class StoreUnavailable(KeysteadError):
    """The store cannot be reached or read. Its last changes may have been made or not."""


class SnapshotUnavailable(KeysteadError):
    """The store cannot show, or show any longer, its records as they were at one moment."""


class WriteRefused(KeysteadError):
    """The store cannot write now, as on a full disk. Nothing has changed, and reading goes on."""


class CommitTooLarge(WriteRefused):
    """A commit has more than the store takes at once. Parts of it can be made."""


class StaleRevision(KeysteadError):
    """A record has changed since it was read. Read it again and decide again."""


class CorruptRecord(KeysteadError):
    """A stored record does not open at its path, or does not parse."""


class UnsupportedFormat(KeysteadError):
    """Stored data has a format version newer than this software, or foreign."""


class DecryptionFailed(KeysteadError):
    """A ciphertext or seal cannot be decrypted. Every cause has the same message on purpose."""


class SelfTestFailed(KeysteadError):
    """A self-test failed: the HSM stops."""


class StartRefused(KeysteadError):
    """The server cannot start on this data directory or address. Nothing was changed."""
