"""The API description that Keystead is compatible with, and backups of real NetHSMs.

They are not part of this project: KEYSTEAD_SHARED says where they lie, if not beside the checkout.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_SHARED = Path(os.environ.get("KEYSTEAD_SHARED", Path(__file__).parents[3] / "shared"))
DESCRIPTION = _SHARED / "spec" / "nethsm-api.yaml"
BACKUPS = _SHARED / "data" / "nethsm-backups"


@cache
def description() -> dict[str, Any]:
    """Return NetHSM's OpenAPI description; nothing when it is not here."""
    if not DESCRIPTION.is_file():
        return {}
    with DESCRIPTION.open(encoding="utf-8") as file:
        return yaml.load(file, yaml.CSafeLoader)
