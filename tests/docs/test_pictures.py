"""The pictures of the pages: `make pictures` makes them, and those that are kept are up to date."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/pictures"


def made(script: str, directory: Path) -> dict[str, str]:
    subprocess.run(  # noqa: S603 - our own script
        [sys.executable, ROOT / "scripts/pictures" / script, directory],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    return {file.name: file.read_text() for file in directory.iterdir()}


def test_the_diagrams_are_those_of_the_tables(tmp_path):
    for name, picture in made("diagrams.py", tmp_path).items():
        assert (PICTURES / name).read_text() == picture, f"{name} is out of date: make pictures"


def test_terminals_can_be_recorded_anew(tmp_path):
    recorded = made("recordings.py", tmp_path)
    assert set(recorded) == {file.name for file in PICTURES.glob("terminal-*.svg")}
    assert ">valid<" in recorded["terminal-first-key.svg"]
    assert "zone-2" in recorded["terminal-keys.svg"]


@pytest.mark.parametrize("picture", sorted(PICTURES.glob("*.svg")), ids=lambda file: file.name)
def test_a_picture_is_shown_on_a_page_and_loads_nothing(picture):
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    assert any(f"pictures/{picture.name})" in page.read_text() for page in pages)
    assert not re.search(r"url\([\"']?https?:|href=|<script", picture.read_text())
