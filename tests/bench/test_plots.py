"""Plots as SVG."""

from dataclasses import replace
from xml.etree import ElementTree as ET

from bench.plots import draw
from bench.run import Plot, Series

PLOT = Plot(
    name="plot",
    title="Throughput <TLS>",
    x_label="connections",
    y_label="signatures/s",
    series=[Series("P-256", [(1, 10.0), (10, 80.0), (100, 100.0)]), Series("RSA", [(1, 50.0)])],
)
SVG = "{http://www.w3.org/2000/svg}"


def parse(svg):
    return ET.fromstring(svg)  # noqa: S314 - our own


def points(svg):
    lines = parse(svg).findall(f"{SVG}polyline")
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in lines
    ]


def test_every_series_is_a_line_with_its_name():
    svg = draw(PLOT)
    texts = [text.text for text in parse(svg).iter(f"{SVG}text")]
    assert {"Throughput <TLS>", "P-256", "RSA", "connections", "signatures/s"} <= set(texts)
    assert [len(line) for line in points(svg)] == [3, 1]


def test_tenfold_is_the_same_way_to_the_right_each_time_and_more_is_higher():
    ((x1, y1), (x2, y2), (x3, y3)), _ = points(draw(PLOT))
    assert round(x2 - x1, 1) == round(x3 - x2, 1) > 0
    assert y1 > y2 > y3


def test_the_same_figures_give_the_same_bytes():
    assert draw(PLOT) == draw(replace(PLOT))
