"""The module's code: what one person reads in a day, with raw pointers in one folder (ADR 36)."""

import re

from tests.pkcs11.conftest import ROOT

SOURCES = sorted((ROOT / "pkcs11/src").rglob("*.rs"))
MOST_LINES = 6_000


def test_the_module_has_no_more_lines_than_it_may_have():
    assert 0 < sum(len(file.read_text().splitlines()) for file in SOURCES) <= MOST_LINES


def test_unsafe_code_is_in_the_border_alone():
    border = ROOT / "pkcs11/src/border"
    outside = [file for file in SOURCES if not file.is_relative_to(border)]
    assert len(outside) < len(SOURCES)
    unsafe = [file for file in outside if re.search(r"\bunsafe\b|unsafe_code", file.read_text())]
    assert not unsafe
