"""``mvlm parity --report``: one HTML file that shows what was compared, where it differs and by how much.

It fetches and runs nothing: styles, charts and images are in the file, and its content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from mobilevlm_host.pages import charts
from mobilevlm_host.pages.charts import Line
from mobilevlm_host.pages.html_page import Page
from mobilevlm_host.parity.run_sample import ComparedAnswer, Measured
from mobilevlm_host.parity.stages import ParityReport, Stage
from mobilevlm_host.parity.thresholds import Limit
from mobilevlm_host.parity.two_machines import COMPARED as ARM64_COMPARED

PAGE = Page("parity", "parity report")
_MAPS, _EXAMPLES = 3, 4
_THUMBNAIL = (480, 480)
_WIDEST_DB = 40.0  # the most room that the chart of stages shows
COMPARED = {
    "pixels": "preprocessing with the checkpoint's config and with the manifest",
    "vision_encoder": "CLIP's features",
    "projector": "the projector over the bundle's own features",
    "token_ids": "SentencePiece and tokenizer.json, with the manifest's prompt",
    "token_embedding": "the rows of the prompt's tokens",
    "prefill": "logits after the prompt, fed the fp32 embeddings",
    "decode": "logits of the following steps, fed the fp32 model's most likely tokens; and the bundle's own prefill",
    "answer": "greedy answers, the bundle's from its runner",
    **ARM64_COMPARED,
}
_METRICS = {
    "max_abs": "largest difference",
    "max_rel": "relative",
    "cosine": "cosine",
    "snr_db": "signal to noise",
    "median_snr_db": "signal to noise, median",
    "mean_kl": "mean KL",
    "max_kl": "largest KL",
    "top1": "same most likely token",
    "top5": "shared of the five most likely",
    "own_prefill_snr_db": "compared with its own prefill",
    "same": "equal",
    "flips": "samples that differ",
}


def write_report(report: ParityReport, path: Path) -> None:
    """Write ``path`` (HTML) atomically, replacing an older report.

    Raises:
        ParityError: as :meth:`Page.require_place`.
    """
    PAGE.write(path, **_values(report))


def render(report: ParityReport) -> str:
    """The page without its first line."""
    return PAGE.render(**_values(report))


def _values(report: ParityReport) -> dict[str, Any]:
    return {
        "report": report,
        "subject": report.subject,
        "first": report.first_divergence,
        "stages": [_stage(stage) for stage in report.stages],
        "kl": _kl(report),
        "maps": _maps(report.measured),
        "examples": [_example(each) for each in _worst_answers(report.measured)],
        "differing": sum(not each.same_answer for each in report.measured),
    }


def _stage(stage: Stage) -> dict[str, Any]:
    held = {limit.metric for limit in stage.limits}
    return {
        "name": stage.name,
        "compared": COMPARED[stage.name],
        "passed": stage.passed,
        "worst": stage.worst,
        "limits": [_limit(limit, stage.metrics[limit.metric]) for limit in stage.limits],
        "others": [(_METRICS[name], _figure(name, got)) for name, got in stage.metrics.items() if name not in held],
    }


def _limit(limit: Limit, got: float) -> dict[str, Any]:
    room = limit.room_db(got)
    sides = "at most" if limit.at_most else "at least"
    return {
        "metric": _METRICS[limit.metric],
        "got": _figure(limit.metric, got),
        "limit": "equal" if math.isinf(limit.room_db(limit.value)) else f"{sides} {_figure(limit.metric, limit.value)}",
        "reason": limit.reason,
        "passed": limit.holds(got),
        "width": round(50 * min(abs(room), _WIDEST_DB) / _WIDEST_DB, 1),  # percent of the chart
        "room": ("no error" if room > 0 else "none allowed") if math.isinf(room) else f"{room:+.1f} dB",
    }


def _figure(metric: str, value: float) -> str:
    """``value`` with its unit, for display."""
    if metric in ("top1", "top5", "same"):
        return f"{100 * value:.4g} %"
    if metric.endswith("_db"):
        return "equal" if value == math.inf else "nothing in common" if value == -math.inf else f"{value:.1f} dB"
    return f"{value:.3g} nats" if metric.endswith("kl") else f"{value:.4g}"


def _kl(report: ParityReport) -> dict[str, Any]:
    """KL by step: the median and the worst of the samples with this many steps, and the limit."""
    steps = [list(step) for step in _by_step([each.logits.kl for each in report.measured])]
    limit = next(limit for stage in report.stages if stage.name == "decode" for limit in stage.limits if limit.at_most)
    lines = [
        Line("worst sample", "worst", [max(step) for step in steps]),
        Line("median", "median", [statistics.median(step) for step in steps]),
        Line("limit of the mean", "limit", [limit.value] * len(steps)),
    ]
    chart = charts.line_chart(
        lines,
        title="KL divergence by step",
        x_title="step (0: prefill)",
        y_title="KL in nats",
        scale=charts.log_scale([value for line in lines for value in line.values]),
    )
    rows = [(step, *(f"{line.values[step]:.2g}" for line in lines[:2])) for step in range(len(steps))]
    return {"chart": chart, "lines": lines, "rows": rows}


def _by_step(rows: Sequence[Sequence[float]]) -> Iterator[list[float]]:
    for step in range(max(map(len, rows))):
        yield [row[step] for row in rows if step < len(row)]


def _maps(measured: Sequence[Measured]) -> dict[str, Any]:
    """The images with the worst tokens, each once, on the same scale."""
    pictures = {id(each.pixels): each for each in measured if each.token_errors}
    worst = sorted(pictures.values(), key=lambda each: -statistics.fmean(each.token_errors))[:_MAPS]
    finite = [error for each in worst for error in each.token_errors if math.isfinite(error)]
    most = max(finite, default=0.0)
    return {
        "most": f"{100 * most:.3g} %",
        "shown": [
            {
                "name": each.sample.name,
                "mean": f"{100 * statistics.fmean(each.token_errors):.3g} %",
                "largest": f"{100 * max(each.token_errors):.3g} %",
                "map": charts.error_map(
                    _data_uri(_picture(each.pixels)), each.token_errors, most, f"Token errors of {each.sample.name}"
                ),
            }
            for each in worst
        ],
    }


def _worst_answers(measured: Sequence[Measured]) -> list[Measured]:
    """Measurements with different answers first, then those with the largest distance of logits."""
    return sorted(measured, key=lambda each: (each.same_answer, -each.logits.mean_kl))[:_EXAMPLES]


def _example(measured: Measured) -> dict[str, Any]:
    thumbnail = measured.sample.image.copy()
    thumbnail.thumbnail(_THUMBNAIL)
    return {
        "name": measured.sample.name,
        "question": measured.sample.question,
        "picture": _data_uri(thumbnail),
        "same": measured.same_answer,
        "kl": f"{measured.logits.mean_kl:.2g}",
        "answers": [("fp32 model", _cut(measured.expected)), ("bundle", _cut(measured.answer))],
        "at": 1 + sum(a == b for a, b in zip(measured.expected.ids, measured.answer.ids, strict=False)),
    }


def _cut(answer: ComparedAnswer) -> dict[str, str]:
    return {"before": answer.before, "at": answer.at, "after": answer.after}


def _picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
