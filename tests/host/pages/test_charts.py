"""Points of a chart are where their values are, and no name covers another."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from mobilevlm_host.pages.charts import Point, close_scale, log_scale, point_chart

POINTS = [Point(f"point {at}", "own", 1.7 + at / 100, 1e-4 * (1 + at / 10), (1e-5, 1e-3)) for at in range(6)]


def drawn(points: list[Point]) -> ElementTree.Element:
    scale = log_scale([1e-6, 1e-2])
    x_scale = close_scale([point.x for point in points])
    return ElementTree.fromstring(
        point_chart(points, title="t", x_title="x", y_title="y", x_scale=x_scale, y_scale=scale)
    )


def test_names_of_close_points_are_lines_apart() -> None:
    svg = drawn([*POINTS, Point("far", "peer", 3.2, 1e-6, (1e-6, 1e-6))])
    names = {text.text: text for text in svg.findall("text") if text.text and text.text.startswith(("point", "far"))}
    heights = sorted(float(names[point.name].get("y", "")) for point in POINTS)
    assert min(b - a for a, b in pairwise(heights)) >= 15
    assert len({names[point.name].get("x") for point in POINTS}) == 1
    circles = svg.findall("circle")
    assert [each.get("class") for each in circles].count("dot own") == 6
    at = {float(each.get("cx", "")) for each in circles}
    assert len(at) == 7
    assert max(at) <= 480 - 12
    intervals = [each for each in svg.findall("line") if each.get("class") == "interval own"]
    assert len(intervals) == 6
    assert all(float(each.get("y1", "")) > float(each.get("y2", "")) for each in intervals)


@pytest.mark.parametrize("y", [1e-6, 1e-2])
def test_names_stay_within_the_chart(y: float) -> None:
    svg = drawn(
        [Point(f"a point with a long name {at}", "own", x, y, (y, y)) for at, x in enumerate([1.0, 3.9, 3.95, 4.0])]
    )
    for text in svg.findall("text"):
        left, width = float(text.get("x", "")), 6 * len(text.text or "")
        begin = {"end": left - width, "middle": left - width / 2}.get(text.get("text-anchor", "start"), left)
        assert begin >= -1
        assert begin + width <= 481
        assert 0 <= float(text.get("y", "")) <= 260


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.68, 3.14], (1.5, 3.5)),
        ([2.7, 4.6], (2.5, 5.0)),
        ([0.96, 1.14], (0.95, 1.15)),
        ([2.0, 2.0], (2.0, 4.0)),
    ],
)
def test_a_close_scale_has_round_ends(values: list[float], expected: tuple[float, float]) -> None:
    scale = close_scale(values)
    assert (scale.low, scale.high) == pytest.approx(expected)
    assert (scale.ticks[0], scale.ticks[-1]) == pytest.approx(expected)
    assert 2 <= len(scale.ticks) <= 7
