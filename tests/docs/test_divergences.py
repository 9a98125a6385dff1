"""docs/divergences.md names everything that the tests list as ours."""

import re
from pathlib import Path

from tests.support import beyond_nethsm

PAGE = (Path(__file__).parents[2] / "docs" / "divergences.md").read_text()
NAMED = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"`[^`]+`", PAGE))))
NETHSM_HAS = {"GET /config/ntp", "PUT /config/ntp"}
"""Version 5.0 of NetHSM has these, so that they are no difference."""


def last_word(operation: str) -> str:
    """Return the last part of an operation's path that is not a parameter."""
    return [part for part in operation.split("/") if part != "{}"][-1]


def test_the_page_names_every_key_type_mechanism_mode_and_field_that_is_ours():
    ours = {*beyond_nethsm.KEY_TYPES, *beyond_nethsm.MECHANISMS}
    for names in (beyond_nethsm.MODES, beyond_nethsm.FIELDS, beyond_nethsm.QUERIES):
        ours.update(*names.values())
    assert ours - NAMED == set(), "not in docs/divergences.md"


def test_the_page_names_every_operation_that_is_ours():
    missing = [one for one in beyond_nethsm.OPERATIONS if last_word(one) not in NAMED]
    assert set(missing) - NETHSM_HAS == set(), "not in docs/divergences.md"
