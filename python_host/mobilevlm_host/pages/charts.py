"""SVG charts of the HTML pages: lines over steps, layers or lengths, named points, and a map of each image token's error over the
image.

Colors are CSS variables of the page. Dashes and words convey the same, so nothing depends on color alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

_WIDTH, _HEIGHT = 480, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 24, 40
_LETTER, _LINE, _CLOSE = (
    7,
    15,
    32,
)  # about the width of a letter, the height of a line, and too close for a name between


@dataclass(frozen=True)
class Line:
    """A named line with one value for each step; ``kind`` is the CSS class that styles it."""

    name: str
    kind: str
    values: Sequence[float]


@dataclass(frozen=True)
class Point:
    """A named point, with the interval of ``y``; ``kind`` is the CSS class that styles it."""

    name: str
    kind: str
    x: float
    y: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """The vertical axis from ``low`` to ``high``, linear or logarithmic, with its ticks."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def height(self, value: float) -> float:
        """The height of ``value``, from 0 at the bottom to 1 at the top, clamped."""
        if math.isnan(value):
            return 1.0
        low, high, at = (math.log10(each) if self.log else each for each in (self.low, self.high, max(value, self.low)))
        return min(1.0, (at - low) / (high - low))


def log_scale(values: Sequence[float]) -> Scale:
    """Powers of ten around ``values``; zeros are drawn at the bottom, infinite values at the top."""
    usable = [value for value in values if 0 < value < math.inf] or [1e-16]
    low, high = math.floor(math.log10(min(usable))), math.ceil(math.log10(max(usable)))
    high += high == low
    stride = math.ceil((high - low) / 6)
    return Scale(10.0**low, 10.0**high, True, tuple(10.0**power for power in range(low, high + 1, stride)))


def linear_scale(values: Sequence[float], least_step: float = 5) -> Scale:
    """From zero or below to a round number above ``values``, in steps of ``least_step`` or a round multiple of it."""
    usable = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(0.0, *usable), max(1.0, *usable)
    steps = (least_step * digit * 10.0**power for power in range(12) for digit in (1, 2, 4))
    step = next((step for step in steps if (high - low) / step <= 6), 1e13)
    first, last = math.floor(low / step), math.ceil(high / step)
    return Scale(first * step, last * step, False, tuple(step * at for at in range(first, last + 1)))


def close_scale(values: Sequence[float]) -> Scale:
    """Round numbers closely around ``values``, which are finite, wherever zero is."""
    low, high = min(values), max(values)
    room = (high - low) / 5 or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(room))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= room)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return Scale(first * step, last * step, False, tuple(round(step * at, 12) for at in range(first, last + 1)))


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_title: str,
    y_title: str,
    scale: Scale,
    first: int = 0,
    steps_named: Sequence[str] = (),
) -> Markup:
    """``lines`` of equal length, over named steps or steps numbered from ``first``, as inline SVG."""
    steps = len(lines[0].values)
    inner_width = _WIDTH - _LEFT - _RIGHT

    def x(step: int) -> float:
        return round(_LEFT + inner_width * (step / (steps - 1) if steps > 1 else 0.5), 1)

    svg = _axes(title, x_title, y_title, scale)
    stride = max(1, math.ceil(steps / 8))
    for step in range(0, steps, stride):
        name = steps_named[step] if steps_named else str(step + first)
        _add(svg, "text", name, x=x(step), y=_HEIGHT - _BOTTOM + 16, text_anchor="middle")
    for line in lines:
        points = " ".join(f"{x(step)},{_y(scale, value)}" for step, value in enumerate(line.values))
        _add(_add(svg, "polyline", points=points, class_=f"line {line.kind}"), "title", line.name)
        if steps == 1:
            _add(svg, "circle", cx=x(0), cy=_y(scale, line.values[0]), r=3, class_=f"dot {line.kind}")
    return _markup(svg)


def point_chart(
    points: Sequence[Point], *, title: str, x_title: str, y_title: str, x_scale: Scale, y_scale: Scale
) -> Markup:
    """``points`` as inline SVG. Those close to each other have their names in a column, with lines to the points."""
    svg = _axes(title, x_title, y_title, y_scale)
    inner_width = _WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return round(_LEFT + inner_width * x_scale.height(value), 1)

    for tick in x_scale.ticks:
        _add(svg, "text", _tick(tick, x_scale.log), x=x(tick), y=_HEIGHT - _BOTTOM + 16, text_anchor="middle")
    clusters: list[list[Point]] = []
    for point in sorted(points, key=lambda each: each.x):
        if not clusters or x(point.x) - x(clusters[-1][-1].x) > _CLOSE:
            clusters.append([])
        clusters[-1].append(point)
    for cluster in clusters:
        cluster.sort(key=lambda each: -each.y)
        lefts, longest = [x(each.x) for each in cluster], _LETTER * max(len(each.name) for each in cluster)
        to_right = max(lefts) + _CLOSE / 2 + longest < _WIDTH
        column = max(lefts) + _CLOSE / 2 if to_right else min(lefts) - _CLOSE / 2
        heights = _apart([_y(y_scale, each.y) for each in cluster], _HEIGHT - _BOTTOM)
        for point, left, height in zip(cluster, lefts, heights, strict=True):
            top, beside = _y(y_scale, point.y), column - 3 if to_right else column + 3
            low, high = (_y(y_scale, bound) for bound in point.interval)
            _add(svg, "line", x1=left, y1=top, x2=beside, y2=height, class_="grid")
            _add(svg, "line", x1=left, y1=low, x2=left, y2=high, class_=f"interval {point.kind}")
            _add(svg, "circle", cx=left, cy=top, r=4, class_=f"dot {point.kind}")
            anchor = "start" if to_right else "end"
            _add(svg, "text", point.name, x=column, y=round(height + 4, 1), text_anchor=anchor)
    return _markup(svg)


def _apart(heights: Sequence[float], bottom: float) -> list[float]:
    """Ascending ``heights``, moved down until they are a line apart, and up again where that is below ``bottom``."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + _LINE) if moved else height)
    for back in range(len(moved)):
        moved[-1 - back] = min(moved[-1 - back], bottom - _LINE * back)
    return moved


def error_map(picture: str, errors: Sequence[float], most: float, title: str) -> Markup:
    """The encoded ``picture`` (a data URI) under a grid of its tokens: the darker a cell, the larger its error, up to ``most``;
    each cell's title has the figure.
    """
    side = math.isqrt(len(errors))
    svg = _svg(side, side, title)
    svg.set("class", "map")
    _add(svg, "image", href=picture, width=side, height=side)
    for at, error in enumerate(errors):
        row, column = divmod(at, side)
        shade = 1.0 if not math.isfinite(error) else min(1.0, error / most) if most else 0.0
        cell = _add(svg, "rect", x=column, y=row, width=1, height=1, fill_opacity=round(0.8 * shade, 3))
        _add(cell, "title", f"token {at}, row {row + 1}, column {column + 1}: {100 * error:.3g} %")
    return _markup(svg)


def _axes(title: str, x_title: str, y_title: str, scale: Scale) -> ElementTree.Element:
    """A chart's frame: the titles, and the vertical axis with its grid."""
    svg = _svg(_WIDTH, _HEIGHT, title)
    for tick in scale.ticks:
        y = _y(scale, tick)
        _add(svg, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        _add(svg, "text", _tick(tick, scale.log), x=_LEFT - 6, y=y + 4, text_anchor="end")
    middle = _LEFT + (_WIDTH - _LEFT - _RIGHT) / 2
    _add(svg, "text", x_title, x=middle, y=_HEIGHT - 6, text_anchor="middle", class_="axis")
    _add(svg, "text", y_title, x=4, y=12, class_="axis")
    return svg


def _y(scale: Scale, value: float) -> float:
    return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - scale.height(value)), 1)


def _svg(width: float, height: float, title: str) -> ElementTree.Element:
    svg = ElementTree.Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": title})
    _add(svg, "title", title)
    return svg


def _add(
    parent: ElementTree.Element, tag: str, text: str | None = None, **attributes: float | str
) -> ElementTree.Element:
    named = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    child = ElementTree.SubElement(parent, tag, named)
    child.text = text
    return child


def _tick(value: float, log: bool) -> str:
    return f"1e{round(math.log10(value))}" if log else f"{value:g}"


def _markup(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode", short_empty_elements=False))
