"""The tests that docs/security.md names for its claims are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
NAMED = re.compile(r"`((?:[a-z_]+/)*test_[a-z0-9_]+|[a-z_]+/)`")


def test_every_test_that_the_threat_model_names_exists():
    named = NAMED.findall((ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    missing = [
        name
        for name in named
        if not (TESTS / f"{name}.py").is_file() and not (TESTS / name).is_dir()
    ]
    assert missing == []


def test_every_row_about_an_attacker_names_a_test_or_says_that_there_is_none():
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition("## Who attacks")[2].partition("## Defences")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for row in rows:
        is_head = row.startswith(("| attacker |", "| process |", "| bound |"))
        says = NAMED.search(row) or "(no test)" in row or "by design" in row
        assert is_head or says or "the next section" in row, row
