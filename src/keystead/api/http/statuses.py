"""Which HTTP status stands for which error: the one place that knows both."""

import msgspec

from keystead import errors

STATUS: dict[type[errors.KeysteadError], int] = {
    errors.InvalidInput: 400,
    errors.DecryptionFailed: 400,
    errors.NotAuthenticated: 401,
    errors.NotPermitted: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.QuotaExceeded: 409,
    errors.StaleRevision: 409,
    errors.WrongState: 412,
    errors.ConditionFailed: 412,
    errors.TooLarge: 413,
    errors.TooManyAttempts: 429,
    errors.SelfTestFailed: 500,
    errors.StoreUnavailable: 503,
    errors.WriteRefused: 503,
    errors.Overloaded: 503,
}
"""An error that is not here is a bug: logged with its trace, answered with a bare 500."""

JSON = "application/json"

_HEADERS: dict[int, list[tuple[str, str]]] = {
    401: [("WWW-Authenticate", 'Basic realm="Keystead", charset="UTF-8"')],
    429: [("Retry-After", "1")],
    503: [("Retry-After", "1")],
}


class HttpError(Exception):
    """A refusal that only HTTP has: method, URI, media types."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class PathUnknown(Exception):
    """The path leads nowhere. It is answered as NetHSM does: in plain text, not in JSON."""


def error_headers(status: int) -> list[tuple[str, str]]:
    """Return the headers that go with an error of this status, Content-Type included."""
    return [("Content-Type", JSON), *_HEADERS.get(status, ())]


def error_body(message: str) -> bytes:
    """Return the JSON every error carries: `{"message": …}`."""
    return msgspec.json.encode({"message": message})
