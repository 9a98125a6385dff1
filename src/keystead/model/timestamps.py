"""RFC 3339 timestamps in UTC, the only form in the API."""

import re
from datetime import UTC, datetime

from keystead.errors import InvalidInput

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-]00:00)", re.ASCII
)


def parse_timestamp(text: str) -> float:
    """Return whole Unix seconds.

    Raises InvalidInput unless `text` is RFC 3339 in UTC and not before 1970.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidInput("Invalid timestamp: expected RFC 3339 in UTC, as 2018-10-30T11:20:50Z.")
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        seconds = datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError as error:
        raise InvalidInput(f"Invalid timestamp: {error}.") from None
    if seconds < 0:
        raise InvalidInput("Invalid timestamp: it is before 1970.")
    return seconds


def format_timestamp(seconds: float) -> str:
    """Return Unix seconds as RFC 3339, whole seconds, with Z."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
