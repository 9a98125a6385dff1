"""docs/log-events.md lists every event that the source logs, with its level, and nothing else."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "log-events.md").read_text()
CHANGES = "## Changes that callers make"
LEVELS = {"debug", "info", "warning", "error"}
OF_METHOD = {**{level: level for level in LEVELS}, "bug": "error", "always": "info"}
WRAPPERS = {"note", "bug"}
"""Functions that pass the name of an event on."""


def calls_that_log(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the level and the name of each event, outside of the wrappers themselves."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name in WRAPPERS:
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name, owner = node.func.attr, ast.unparse(node.func.value)
            if name in OF_METHOD and owner.endswith("log"):
                yield OF_METHOD[name], node.args[0]
            elif name == "note" and owner.endswith(("context", "session")):
                literals = [arg for arg in node.args if isinstance(arg, ast.Constant)]
                yield "info", next(arg for arg in literals if arg.value is not None)
        yield from calls_that_log(node)


def logged() -> dict[str, set[str]]:
    """Return the levels of each event in the source."""
    found = defaultdict(set)
    for path in (ROOT / "src").rglob("*.py"):
        for level, event in calls_that_log(ast.parse(path.read_text())):
            assert isinstance(event, ast.Constant), f"{path}:{event.lineno}: not a literal"
            found[event.value].add(level)
    return dict(found)


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def documented() -> dict[str, set[str]]:
    """Return the levels of each event on the page."""
    events = PAGE.partition("## Start and stop")[2].partition("## Error messages")[0]
    before, _, after = events.partition(CHANGES)
    changes, _, rest = after.partition("\n## ")
    found = {row[0].strip("`"): set(row[1].split(", ")) for row in rows(before + rest)}
    return found | {row[0].strip("`"): {"info"} for row in rows(changes)}


def test_the_page_lists_every_event_with_its_level_and_no_other():
    events = documented()
    assert len(events) > 60
    assert events == logged()


def test_every_message_on_the_page_is_in_the_source():
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    messages = re.findall(r"^\| \d{3} \| `([^`]+?)…?` \|", PAGE, flags=re.MULTILINE)
    assert len(messages) > 10
    assert [message for message in messages if message not in source] == []
