"""Plots as SVG: lines over a logarithmic x axis. The same figures give the same bytes."""

import math
from collections.abc import Iterator
from xml.sax.saxutils import escape

from bench.run import Plot

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 130, 40, 50
_COLOURS = ("#0b5fa5", "#c4420b", "#2a7f3e", "#7a3e9d", "#6b6b6b")
_LINES = 5


def draw(plot: Plot) -> str:
    """Return the plot as an SVG document."""
    points = [point for series in plot.series for point in series.points]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    top = _round_up(max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = math.log(x / low) / math.log(high / low) if high > low else 0.5
        inner = _WIDTH - _LEFT - _RIGHT
        return _LEFT + across * inner, _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    def elements() -> Iterator[str]:
        yield _text(_LEFT, 20, plot.title, "start", 'font-weight="bold"')
        yield _text(_LEFT, 35, plot.y_label, "start")
        yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, plot.x_label, "middle")
        for step in range(_LINES + 1):
            x, y = place(low, top * step / _LINES)
            yield f'<path d="M{x:.1f} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
            yield _text(x - 8, y + 4, f"{top * step / _LINES:,g}", "end")
        for value in sorted({x for x, _ in points}):
            x, y = place(value, 0)
            yield _text(x, y + 18, f"{value:,g}", "middle")
        for series, colour in zip(plot.series, _COLOURS, strict=False):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*one) for one in series.points))
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            x, y = place(*series.points[-1])
            yield _text(x + 8, y + 4, series.name, "start", f'fill="{colour}"')

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    style = 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([f"{head} {style}", *elements(), "</svg>\n"])


def _text(x: float, y: float, content: str, anchor: str, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{' ' * bool(more)}{more}>{escape(content)}</text>"


def _round_up(value: float) -> float:
    """Return the next one of 1, 2, 2.5, 5 times a power of ten."""
    power: float = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)
