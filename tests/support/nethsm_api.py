"""Facts about NetHSM's API, read off its description by tests/facts/read_description.py.

They are names, states, roles, statuses and fields. Tests that compare Keystead with NetHSM need
nothing else.
"""

import json
from pathlib import Path
from typing import Any, Final

_FACTS: Final = json.loads((Path(__file__).parents[1] / "facts" / "nethsm-5.json").read_bytes())

ENUMS: Final[dict[str, list[str]]] = _FACTS["enums"]
"""Key types, mechanisms and modes, in the description's order."""

OPERATIONS: Final[dict[str, dict[str, Any]]] = _FACTS["operations"]
"""Operations by method and path, the path's parameters without their names."""
