"""JSON from files and servers that nobody vouches for."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return what a JSON text says. Raises ValueError if it is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
