"""The results of ``mvlm bench`` as a table, as JSON, and as one self-contained HTML file."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mobilevlm_host.bench.measurement import Spread
from mobilevlm_host.pages import charts
from mobilevlm_host.pages.charts import Line
from mobilevlm_host.pages.html_page import Page
from mobilevlm_host.terminal.output import print_table

PAGE = Page("bench", "bench report")
_NAMES = {
    "imports_s": "start of Python, imports",
    "load_s": "load",
    "load_in_memory_s": "load, weights packed in memory",
    "first_ttft_s": "first token, right after loading",
    "ttft_s": "first token",
    "ttft_prepared_s": "first token, image prepared",
    "image_encode_s": "image prepared",
    "prefill_tok_s": "prefill of {} tokens",
    "decode_tok_s": "decode after {} tokens",
    "peak_memory_bytes": "peak memory",
    "imports_memory_bytes": "memory before loading",
    "private_memory_bytes": "memory added that no process shares",
}
_BY_LENGTH = {"prefill_tok_s": ("Prefill", "tokens in one call"), "decode_tok_s": ("Decode", "tokens before")}


@dataclass(frozen=True)
class ThreadCountResult:
    """The bundle with one number of threads: ``requested`` (None: the engine's choice), and the figures of all rounds."""

    requested: int | None
    figures: Mapping[str, Spread]

    @property
    def name(self) -> str:
        """The display name."""
        count = round(self.figures["threads"].median)
        return f"{count} thread{'s' if count > 1 else ''}" + ("" if self.requested else " (the engine's choice)")

    def by_length(self, name: str) -> dict[str, Spread]:
        """The figures ``name@…`` by the part after ``@``."""
        return {key.partition("@")[2]: value for key, value in self.figures.items() if key.startswith(f"{name}@")}

    def shares(self) -> list[tuple[str, float, float]]:
        """Each method with its median seconds and its share of the time of a question and answer, 0 to 1."""
        seconds = {method: spread.median for method, spread in self.by_length("method_s").items()}
        return [(method, value, value / sum(seconds.values())) for method, value in seconds.items()]

    def to_json(self) -> dict[str, Any]:
        """Plain data; figures of one kind by length or method."""
        plain: dict[str, Any] = {"threads_asked": self.requested, "threads": round(self.figures["threads"].median)}
        for key, spread in self.figures.items():
            name, at, where = key.partition("@")
            if at:
                plain.setdefault(name, {})[where] = spread.to_json()
            elif name not in ("threads", "weights_mapped"):
                plain[name] = spread.to_json()
        return plain | {"method_share": {method: share for method, _, share in self.shares()}}


@dataclass(frozen=True)
class BenchReport:
    """All measurements, with the bundle and machine that they are of."""

    bundle: str
    backend: str
    recipe: str
    image: str
    answer_tokens: int  # in the answer for which methods' shares are given
    repeats: int
    load_average: float  # over the minute before the measurement
    systems: Sequence[ThreadCountResult]
    load_writing_s: float | None = None  # of the one load that writes the packed weights; None where they aren't kept

    @property
    def weights(self) -> str:
        """Where the loads had their packed weights: ``mapped`` from a file that was there, or ``in memory``."""
        is_mapped = all(system.figures["weights_mapped"].median for system in self.systems)
        return "mapped" if is_mapped else "in memory"

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "bundle": self.bundle,
            "backend": self.backend,
            "recipe": self.recipe,
            "image": self.image,
            "repeats": self.repeats,
            "machine": machine() | {"load_average_before": self.load_average},
            "answer_tokens": self.answer_tokens,
            "weights": self.weights,
            "load_writing_s": self.load_writing_s,
            "systems": [system.to_json() for system in self.systems],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A row for each figure: its name, and median and quartiles for each system."""
        shown = [key for key in self.systems[0].figures if key.partition("@")[0] in _NAMES]
        order = list(_NAMES)
        shown.sort(key=lambda key: order.index(key.partition("@")[0]))
        return [(self._named(key), *(_spread(key, system.figures[key]) for system in self.systems)) for key in shown]

    def _named(self, key: str) -> str:
        name, _, length = key.partition("@")
        if name == "load_s" and self.weights == "mapped":
            return "load, packed weights mapped"
        return _NAMES[name].format(length)

    def share_rows(self) -> list[tuple[str, ...]]:
        """A row for each method: its time and share for each system."""
        columns = [system.shares() for system in self.systems]
        return [
            (rows[0][0], *(f"{_seconds(seconds)}  {100 * share:.0f} %" for _, seconds, share in rows))
            for rows in zip(*columns, strict=True)
        ]


def machine() -> dict[str, Any]:
    """This machine and the versions that the bundle runs with, for the report."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    versions = {name: version(name) for name in ("executorch", "torch", "mobilevlm-kit")}
    return {"cpu": cpu, "cpus": os.cpu_count(), "system": platform.platform(terse=True), "versions": versions}


def print_report(report: BenchReport) -> None:
    """Print two tables on stdout: the figures, and where a question's time goes."""
    about = f"{report.bundle} ({report.recipe}), {report.repeats} rounds, each in a fresh process: median (quartiles)"
    names = [system.name for system in report.systems]
    print_table(about, ("", *names), report.rows())
    print_table(
        f"One question about one image, with an answer of {report.answer_tokens} tokens",
        ("method", *names),
        report.share_rows(),
    )
    if report.load_writing_s is not None:
        print(f"The load that writes the packed weights, once on a machine, took {_seconds(report.load_writing_s)}.")
    if report.load_average > 0.5 * (os.cpu_count() or 1):
        print(
            f"Other processes were running before the start (load average {report.load_average:.1f}): figures may be affected."
        )


def write_report(report: BenchReport, path: Path) -> None:
    """Write ``path`` (HTML) atomically; errors as :meth:`Page.require_place`."""
    PAGE.write(path, **_values(report))


def render(report: BenchReport) -> str:
    """The page without its first line."""
    return PAGE.render(**_values(report))


def _values(report: BenchReport) -> dict[str, Any]:
    return {
        "report": report,
        "machine": machine(),
        "curves": [_curve(report, name) for name in _BY_LENGTH],
        "shares": [(system.name, _share_bars(system)) for system in report.systems],
    }


def _curve(report: BenchReport, name: str) -> dict[str, Any]:
    """Median and quartiles by length, one chart per system, all with the same scale."""
    title, x_title = _BY_LENGTH[name]
    found = {system.name: system.by_length(name) for system in report.systems}
    scale = charts.linear_scale(
        [value for spreads in found.values() for each in spreads.values() for value in each.quartiles]
    )
    shown = []
    for system, spreads in found.items():
        lines = [
            Line("median", "median", [spread.median for spread in spreads.values()]),
            Line("quartiles", "worst", [spread.quartiles[0] for spread in spreads.values()]),
            Line("quartiles", "worst", [spread.quartiles[1] for spread in spreads.values()]),
        ]
        chart = charts.line_chart(
            lines,
            title=f"{title}, {system}",
            x_title=x_title,
            y_title="tokens per second",
            scale=scale,
            steps_named=[*spreads],
        )
        shown.append((system, chart))
    return {"title": title, "charts": shown, "lines": lines[:2]}


def _share_bars(system: ThreadCountResult) -> list[dict[str, str]]:
    return [
        {"method": method, "width": f"{100 * share:.1f}", "time": f"{_seconds(seconds)}, {100 * share:.0f} %"}
        for method, seconds, share in system.shares()
    ]


def _spread(key: str, spread: Spread) -> str:
    """The median with its unit, and the quartiles in the same unit."""
    if key.endswith("_bytes"):
        scale, unit = 1e-6, "MB"
    elif "_tok_s" in key:
        scale, unit = 1.0, "tok/s"
    else:
        scale, unit = (1.0, "s") if spread.median >= 1 else (1e3, "ms")
    median, low, high = (
        f"{scale * value:.3g}" if scale * value < 100 else f"{scale * value:.0f}"
        for value in (spread.median, *spread.quartiles)
    )
    return f"{median} {unit} ({low}–{high})"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
