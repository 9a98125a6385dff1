"""RFC 3339 timestamps in UTC, the only form in the API."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from keystead.errors import InvalidInput

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-]00:00)", re.ASCII
)

_LEAP_SECOND: Final = 60
_MICROS: Final = 1_000_000
_WITHOUT_ZONE: Final = len("2018-10-30T11:20:50")


def parse_timestamp(text: str) -> float:
    """Return whole Unix seconds. A leap second (:60) counts as the second after it.

    Raises InvalidInput unless `text` is RFC 3339 in UTC and not before 1970.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidInput("Invalid timestamp: expected RFC 3339 in UTC, as 2018-10-30T11:20:50Z.")
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        leap = second // _LEAP_SECOND
        before = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
        time = before + timedelta(seconds=leap)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"Invalid timestamp: {error}.") from None
    seconds = time.timestamp()
    if seconds < 0:
        raise InvalidInput("Invalid timestamp: it is before 1970.")
    return seconds


def format_timestamp(seconds: float) -> str:
    """Return Unix seconds as RFC 3339, whole seconds, with Z."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_milliseconds(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 to the millisecond, without a zone: 2018-10-30T11:20:50.000.

    They are rounded to a microsecond, and cut after the millisecond.
    """
    whole = int(seconds // 1)
    micros = round((seconds - whole) * _MICROS)
    if micros == _MICROS:
        whole, micros = whole + 1, 0
    return f"{_to_the_second(whole)}.{micros // 1000:03}"


@lru_cache(maxsize=2)  # what is journalled and what is logged may have different clocks
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:_WITHOUT_ZONE]
