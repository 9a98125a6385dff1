"""What the Makefile says of the tools that its targets need."""

import re
from pathlib import Path

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def test_every_list_of_tools_that_a_target_installs_is_there() -> None:
    used = set(re.findall(r"\$\((\w+_TOOLS)\)", MAKEFILE))
    defined = set(re.findall(r"^(\w+_TOOLS) *:?=", MAKEFILE, re.MULTILINE))

    assert "IMAGE_TOOLS" in used
    assert used <= defined
