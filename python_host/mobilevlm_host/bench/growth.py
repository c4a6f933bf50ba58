"""``python -m mobilevlm_host.bench.growth BUNDLE... -o growth.svg``: how cost grows with lengths, images and model size.

Figures are CPU seconds on one thread, each bundle in its own process. They exclude other work, so that the curves are valid on a
busy machine, but they are not the time that a user waits.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import MobileVLMError
from mobilevlm_export.files.atomic_file import atomic_file, require_place
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.bench.bench_round import doublings, fill_contexts, token_ids
from mobilevlm_host.bench.measurement import in_child, print_figures
from mobilevlm_host.bench.operations import text_decoder_ops
from mobilevlm_host.engines.cpp_runner import import_engine
from mobilevlm_host.engines.generation import Generation
from mobilevlm_host.engines.native_output import native_output_hidden
from mobilevlm_host.pages import charts
from mobilevlm_host.pages.charts import Line
from mobilevlm_host.terminal.output import print_table

_STEPS = 8  # tokens decoded at each context
_PICTURES = 8
_PROMPT, _ANSWER = 64, 512  # tokens of the prompt and of the longest answer
_KINDS = ("median", "worst", "limit", "own")  # how charts draw lines
_CURVES = {
    "prefill": ("One prefill", "tokens in it", "ms a token"),
    "context": ("Decoding one token", "tokens before it", "ms"),
    "answer": ("A whole answer", "its tokens", "ms a token"),
    "picture": ("One image after another", "images so far", "ms"),
}
# The styles of the pages' style sheet, for a standalone file.
_STYLE = (
    "svg{background:#fff}text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-size:15px;fill:#1b1f24}.grid{stroke:#d0d7de}"
    ".line{fill:none;stroke:#0550ae;stroke-width:2}.line.worst{stroke:#b3261e;stroke-dasharray:2 3}"
    ".line.limit{stroke:#0a6b3d;stroke-dasharray:9 4}.line.own{stroke:#c2185b;stroke-dasharray:12 3 2 3}"
)


@dataclass(frozen=True)
class Growth:
    """One bundle's costs in CPU milliseconds by curve and length, and the number of decoder weights used per token."""

    name: str
    weights: int
    costs: dict[str, dict[int, float]]

    def exponent(self, curve: str) -> float:
        """The exponent with which the *total* cost grows over about the last doubling: 1 is linear in the length, 2 quadratic."""
        last = max(self.costs[curve])
        first = max(length for length in self.costs[curve] if length <= 0.6 * last)
        whole = [
            self.costs[curve][length] * (length if curve in ("prefill", "answer") else 1) for length in (first, last)
        ]
        return math.log(whole[1] / whole[0]) / math.log(last / first)


def measure(bundle: str) -> dict[str, float]:
    """CPU milliseconds of the bundle in the folder ``bundle``, by curve and length.

    Raises:
        MobileVLMError: the bundle or its engine can't be used.
    """
    import_engine()
    folder = Path(bundle)
    with Runner(Bundle(folder, read_manifest(folder / MANIFEST)), threads=1) as runner, native_output_hidden():
        pictures = dict(_pictures(runner))
        with runner.exclusive_engine() as engine:
            return dict(
                chain(pictures.items(), _prefill(runner, engine), _answer(runner, engine), _context(runner, engine))
            )


def _pictures(runner: Runner) -> Iterator[tuple[str, float]]:
    noise = np.random.default_rng(0)
    for at in range(_PICTURES + 1):  # the first one warms up
        picture = Image.fromarray(noise.integers(0, 256, (336, 336, 3), dtype=np.uint8))
        spent = _cpu_ms(runner.prepare, picture)
        if at:
            yield f"picture@{at}", spent


def _prefill(runner: Runner, engine: Generation) -> Iterator[tuple[str, float]]:
    for length in doublings(32, runner.manifest.max_prefill):
        engine.reset()
        yield f"prefill@{length}", _cpu_ms(engine.feed, token_ids(runner, length)) / length


def _answer(runner: Runner, engine: Generation) -> Iterator[tuple[str, float]]:
    engine.reset()
    engine.feed(token_ids(runner, _PROMPT))
    spent, length_done = 0.0, 0
    for length in doublings(32, min(_ANSWER, runner.manifest.max_context - _PROMPT)):
        spent += sum(_cpu_ms(engine.feed, [token]) for token in token_ids(runner, length - length_done))
        length_done = length
        yield f"answer@{length}", spent / length


def _context(runner: Runner, engine: Generation) -> Iterator[tuple[str, float]]:
    for context in fill_contexts(runner, engine, 64, _STEPS):
        yield f"context@{context}", sum(_cpu_ms(engine.feed, [token]) for token in token_ids(runner, _STEPS)) / _STEPS


def _cpu_ms(call: Callable[..., object], *arguments: object) -> float:
    begin = time.process_time()
    call(*arguments)
    return 1000 * (time.process_time() - begin)


def growth_of(path: str) -> Growth:
    """Verify and measure the bundle ``path`` in its own process.

    Raises:
        MobileVLMError: it can't be used.
    """
    with Bundle.open(path) as bundle:
        figures = in_child("mobilevlm_host.bench.growth", {"bundle": str(bundle.path)})
        llm = bundle.config.llm
    costs: dict[str, dict[int, float]] = {curve: {} for curve in _CURVES}
    for key, value in figures.items():
        curve, _, length = key.partition("@")
        costs[curve][int(length)] = value
    return Growth(Path(path).name, text_decoder_ops(llm, 1, 0).linear_ops // 2, costs)


def draw(found: Sequence[Growth]) -> str:
    """The curves as one standalone SVG, each relative to its value at the first length, so that their shapes can be compared."""
    width, height = 500, 300
    svg = ElementTree.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {2 * width} {2 * height + 40}"}
    )
    ElementTree.SubElement(svg, "style").text = _STYLE
    for at, each in enumerate(found):
        _line(svg, 20 + 240 * at, each.name, _KINDS[at])
    for at, (curve, (title, x_title, unit)) in enumerate(_CURVES.items()):
        lengths = max((list(each.costs[curve]) for each in found), key=len)
        lines = []
        for kind, each in zip(_KINDS, found, strict=False):
            values = list(each.costs[curve].values())
            lines.append(Line(each.name, kind, [value / values[0] for value in values]))
        chart = charts.line_chart(
            lines,
            title=title,
            x_title=x_title,
            y_title=f"{title}: {unit}, relative to the first",
            scale=charts.linear_scale([value for line in lines for value in line.values], least_step=0.5),
            steps_named=[str(length) for length in lengths],
        )
        placed = ElementTree.fromstring(chart)
        placed.attrib |= {
            "x": str(width * (at % 2)),
            "y": str(40 + height * (at // 2)),
            "width": "480",
            "height": "260",
            "overflow": "visible",  # the last length is wider than the margin
        }
        svg.append(placed)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _line(svg: ElementTree.Element, x: int, name: str, kind: str) -> None:
    place = {"x1": str(x), "x2": str(x + 40), "y1": "20", "y2": "20", "class": f"line {kind}"}
    ElementTree.SubElement(svg, "line", place)
    ElementTree.SubElement(svg, "text", {"x": str(x + 48), "y": "25", "class": "title"}).text = name


def print_growth(found: Sequence[Growth]) -> None:
    """Print the ends of each curve, with the exponent of the total cost over the last doubling."""
    rows = []
    for curve, (title, x_title, unit) in _CURVES.items():
        for each in found:
            (first, low), (last, high) = list(each.costs[curve].items())[:: len(each.costs[curve]) - 1]
            ends = (f"{first}: {low:.3g} {unit}", f"{last}: {high:.3g} {unit}")
            rows.append(
                (f"{title} ({x_title})", each.name, f"{each.weights / 1e6:.0f} M", *ends, f"{each.exponent(curve):.2f}")
            )
    print_table("CPU milliseconds on one thread", ("", "bundle", "weights", "first", "last", "grows with power"), rows)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and draw; or, in a child process, measure the session in the first argument (JSON)."""
    if arguments and arguments[0].startswith("{"):
        print_figures(lambda request: measure(request["bundle"]))
        return
    parser = argparse.ArgumentParser(
        prog="python -m mobilevlm_host.bench.growth", description="How a bundle's costs grow."
    )
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", help=f"at most {len(_KINDS)}, with the same context")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the chart, an SVG")
    options = parser.parse_args(arguments)
    if len(options.bundles) > len(_KINDS):
        parser.error(f"got {len(options.bundles)} bundles, expected at most {len(_KINDS)}")
    try:
        require_place(options.output)  # before the work, not after it
        found = [growth_of(path) for path in options.bundles]
    except MobileVLMError as error:
        sys.exit(f"Error: {error}")
    if len({tuple(each.costs["context"]) for each in found}) > 1:
        sys.exit("Error: got bundles of different contexts, expected the same (mvlm export --max-context)")
    with atomic_file(options.output) as temporary:
        temporary.write_text(draw(found), encoding="utf-8")
    print_growth(found)


if __name__ == "__main__":
    main(sys.argv[1:])
