"""What every docstring of the package says: when an error is raised, not only that it can be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "keystead"
NAME = r"[A-Z]\w+"
LIST = rf"Raises {NAME}(?:(?:,| and| or|, and|, or) {NAME})*"
BARE = re.compile(rf"(?:{LIST}|Raises [^.]*, and {NAME}|\. {NAME}Refused)\.")
"""An error without its condition: "Raises NotFound." instead of "Raises NotFound if …"."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line of each docstring, and its text with single spaces."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, " ".join(text.split())


def test_every_docstring_that_names_an_error_says_when_it_is_raised():
    bare = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in docstrings(path.read_text())
        if BARE.search(text)
    ]
    assert not bare, "\n".join(bare)


@pytest.mark.parametrize(
    "text",
    [
        "Return it. Raises NotFound.",
        "Return it. Raises OSError, StartRefused.",
        "Return it. Raises OSError or StartRefused. More.",
        "Return it. Raises StaleRevision, WriteRefused or StoreUnavailable.",
        "Destroy it. StartRefused.",
        "Write it. Raises InvalidInput if it does not fit, and OSError.",
    ],
)
def test_an_error_without_its_condition_is_found(text):
    assert BARE.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "Return it. Raises NotFound if there is none.",
        "Return it. Raises what `KeyValueStore.commit` does.",
        "Return it. Raises Conflict for a second member.",
    ],
)
def test_an_error_with_its_condition_is_not_found(text):
    assert not BARE.search(text)
