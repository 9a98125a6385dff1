"""Writes the diagrams of the pages: diagrams.py DIRECTORY. States come from their own table."""

import math
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

from keystead.model.approvals import TRANSITIONS as APPROVAL_TRANSITIONS
from keystead.model.approvals import ApprovalState
from keystead.model.lifecycle import TRANSITIONS, State

Point = tuple[float, float]

_HEAD: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<style>
text {{ font: 14px sans-serif; text-anchor: middle; fill: #222 }}
.name {{ font-weight: bold }}
.label {{ font-size: 12px; paint-order: stroke; stroke: #fff; stroke-width: 5px }}
.box {{ stroke: #00695c; stroke-width: 1.5 }}
.arrow {{ fill: none; stroke: #546e7a; stroke-width: 1.5 }}
</style>
<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
 orient="auto-start-reverse"><path d="M0 0L8 4L0 8Z" fill="#546e7a"/></marker></defs>
<rect width="100%" height="100%" rx="8" fill="#fff"/>
"""


class Box(NamedTuple):
    """A rectangle around its middle, with lines of text, the first in bold."""

    middle: Point
    half: Point
    lines: tuple[str, ...]
    fill: str = "#e0f2f1"

    def svg(self) -> str:
        """Return the rectangle and its text."""
        (x, y), (width, height) = self.middle, self.half
        frame = f'x="{x - width}" y="{y - height}" width="{2 * width}" height="{2 * height}"'
        return f'<rect class="box" {frame} rx="6" fill="{self.fill}"/>\n' + _text(
            self.middle, self.lines, ("name", *[""] * (len(self.lines) - 1))
        )

    def border_towards(self, other: Point) -> Point:
        """Return the point of the border on the line from the middle to `other`."""
        (x, y), (width, height) = self.middle, self.half
        dx, dy = other[0] - x, other[1] - y
        scale = min(width / abs(dx) if dx else math.inf, height / abs(dy) if dy else math.inf)
        return x + dx * scale, y + dy * scale


def _text(middle: Point, lines: tuple[str, ...], classes: tuple[str, ...]) -> str:
    first = middle[1] - 8 * (len(lines) - 1) + 5
    rows = enumerate(zip(lines, classes, strict=True))
    return "".join(
        f'<text class="{kind}" x="{middle[0]:.0f}" y="{first + 16 * row:.0f}">'
        f"{escape(line)}</text>\n"
        for row, (line, kind) in rows
    )


def _arrow(begin: Box, end: Box, labels: tuple[str, ...], *, aside: float, at: float) -> str:
    """Draw a line that keeps `aside` of the direct one, with its labels `at` a part of its way."""
    (x, y), (to_x, to_y) = begin.middle, end.middle
    length = math.hypot(to_x - x, to_y - y)
    shift = (-(to_y - y) / length * aside, (to_x - x) / length * aside)
    start, stop = begin.border_towards(end.middle), end.border_towards(begin.middle)
    x, y, to_x, to_y = (a + b for a, b in zip((*start, *stop), (*shift, *shift), strict=True))
    middle = (x + (to_x - x) * at, y + (to_y - y) * at)
    path = (
        f'<path class="arrow" marker-end="url(#end)" d="M{x:.0f} {y:.0f}L{to_x:.0f} {to_y:.0f}"/>\n'
    )
    return path + _text(middle, labels, ("label",) * len(labels))


# --- States ----------------------------------------------------------------------------------

_HALF: Final = (85, 28)
_STATES: Final[Mapping[Enum, Box]] = {
    State.UNPROVISIONED: Box((130, 110), _HALF, ("Unprovisioned",), "#eceff1"),
    State.OPERATIONAL: Box((770, 110), _HALF, ("Operational",), "#c8e6c9"),
    State.LOCKED: Box((770, 470), _HALF, ("Locked",), "#fff3e0"),
    State.FAILED: Box((130, 470), _HALF, ("Failed",), "#ffcdd2"),
}
_APPROVALS: Final[Mapping[Enum, Box]] = {
    ApprovalState.PENDING: Box((130, 130), _HALF, ("pending",), "#fff3e0"),
    ApprovalState.GRANTED: Box((610, 130), _HALF, ("granted",), "#c8e6c9"),
    ApprovalState.SPENT: Box((1040, 130), _HALF, ("spent",), "#eceff1"),
    ApprovalState.REFUSED: Box((130, 350), _HALF, ("refused",), "#ffcdd2"),
    ApprovalState.EXPIRED: Box((610, 350), _HALF, ("expired",), "#eceff1"),
}
_MIDDLE: Final = 250
"""States above it have what leads back to them drawn above, the others below."""


def states() -> Iterator[str]:
    """Yield the diagram of the states of the HSM."""
    yield _HEAD.format(width=900, height=560)
    yield from _machine(_STATES, TRANSITIONS)


def approvals() -> Iterator[str]:
    """Yield the diagram of the states of an approval."""
    yield _HEAD.format(width=1150, height=410)
    yield from _machine(_APPROVALS, APPROVAL_TRANSITIONS)


def _machine(
    boxes: Mapping[Enum, Box], transitions: Mapping[tuple[Any, Any], Any]
) -> Iterator[str]:
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for (state, event), after in transitions.items():
        arrows.setdefault((state, after), []).append(event.value)
    for (state, after), events in arrows.items():
        labels, begin, end = tuple(events), boxes[state], boxes[after]
        if state is after:
            yield from _loop(begin, labels)
        else:
            has_return = (after, state) in arrows
            yield _arrow(begin, end, labels, **_place(begin, end, has_return=has_return))
    yield from (box.svg() for box in boxes.values())
    yield "</svg>\n"


def _place(begin: Box, end: Box, *, has_return: bool) -> dict[str, float]:
    """Say where an arrow and its labels keep clear of the one back and of those that it crosses."""
    if begin.middle[1] == end.middle[1]:
        return {"aside": 26, "at": 0.5}
    if begin.middle[0] == end.middle[0]:
        return {"aside": 26, "at": 0.35}
    return {"aside": 8 if has_return else 0, "at": 0.22}


def _loop(box: Box, labels: tuple[str, ...]) -> Iterator[str]:
    x, y = box.middle
    up = -1 if y < _MIDDLE else 1
    edge, far = y + up * box.half[1], y + up * (box.half[1] + 40)
    path = f"M{x - 30} {edge}C{x - 40} {far} {x + 40} {far} {x + 30} {edge}"
    yield f'<path class="arrow" marker-end="url(#end)" d="{path}"/>\n'
    yield _text((x, far + up * 8 * len(labels)), labels, ("label",) * len(labels))


# --- Processes -------------------------------------------------------------------------------

_CLIENTS: Final = Box((70, 100), (55, 32), ("clients",), "#eceff1")
_EDGES: Final = Box((290, 100), (85, 50), ("edge (N)", "TLS, HTTP", "no keys"), "#fff3e0")
_CORE: Final = Box(
    (530, 100), (85, 50), ("core", "decides; all keys", "no network, no disk"), "#c8e6c9"
)
_PLATFORM: Final = Box((770, 100), (85, 50), ("platform", "ciphertext,", "device key at start"))
_STORE: Final = Box((970, 100), (65, 50), ("outside", "SQLite, TPM,", "syslog, clock"), "#eceff1")
_SUPERVISOR: Final = Box(
    (530, 250), (330, 26), ("supervisor: starts, confines, watches, replaces",)
)


def processes() -> Iterator[str]:
    """Yield the diagram of the processes."""
    yield _HEAD.format(width=1050, height=300)
    row = (_CLIENTS, _EDGES, _CORE, _PLATFORM, _STORE)
    for begin, end, label in zip(row, row[1:], ("TLS", "frames", "frames", ""), strict=False):
        yield _arrow(begin, end, (label,), aside=0, at=0.45)
    for box in (_EDGES, _CORE, _PLATFORM):
        above = Box((box.middle[0], 250), (10, 26), ())
        yield _arrow(above, box, (), aside=0, at=0.5)
    yield from (box.svg() for box in (*row, _SUPERVISOR))
    yield "</svg>\n"


def main(directory: Path) -> None:
    """Write each diagram."""
    for diagram in (states, approvals, processes):
        (directory / f"{diagram.__name__}.svg").write_text("".join(diagram()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
