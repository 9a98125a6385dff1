"""The tests that the pages name for their claims are there."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.docs.pages import pages

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
NAMED = re.compile(r"`((?:[a-z_]+/)*test_[a-z0-9_]+|[a-z_]+/)`")


def missing(names: Iterable[str]) -> list[str]:
    """Return those that are no test and no folder of tests."""
    return [
        name
        for name in names
        if not (TESTS / f"{name}.py").is_file() and not (TESTS / name).is_dir()
    ]


def test_every_test_that_the_threat_model_names_exists():
    named = NAMED.findall((ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    assert missing(named) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_another_page_names_exists(page):
    assert missing(re.findall(r"`([a-z_]+/test_[a-z0-9_]+)`", page.read_text())) == []


def test_every_row_about_an_attacker_names_a_test_or_says_that_there_is_none():
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition("## Who attacks")[2].partition("## Defences")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in rows:
        is_head = row.startswith(("| attacker |", "| process |", "| bound |"))
        says = NAMED.search(row) or "(no test)" in row or "by design" in row
        assert is_head or says or "the next section" in row, row
