"""The HTTP status of each error. Only this module knows both."""

from collections.abc import Iterable

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
    errors.CommitTooLarge: 413,
    errors.TooManyAttempts: 429,
    errors.SelfTestFailed: 500,
    errors.StoreUnavailable: 503,
    errors.SnapshotUnavailable: 503,
    errors.WriteRefused: 503,
    errors.Overloaded: 503,
    errors.NotUpToDate: 503,
}
"""The statuses. An error that is missing here is a bug: it is logged and answered with 500."""

JSON = "application/json"

_HEADERS: dict[int, list[tuple[str, str]]] = {
    401: [("WWW-Authenticate", 'Basic realm="Keystead", charset="UTF-8"')],
    429: [("Retry-After", "1")],
    503: [("Retry-After", "1")],
}


class HttpError(Exception):
    """A refusal for a reason of HTTP: method, URI, media types."""

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


class PathUnknown(Exception):
    """The path is unknown. As in NetHSM, the response is plain text, not JSON."""


def error_headers(status: int) -> list[tuple[str, str]]:
    """Return the headers of an error response with this status, with its Content-Type."""
    return [("Content-Type", JSON), *_HEADERS.get(status, ())]


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return headers as lines. Raises ValueError for a line break in one: it would split them."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if not text.count("\r") == text.count("\n") == len(lines):
        raise ValueError("a line break inside a header")
    return text.encode("latin-1")


def error_body(message: str, **more: str) -> bytes:
    """Return the JSON body of an error response: `{"message": …}`, and `more` fields."""
    return msgspec.json.encode({"message": message, **more})
