"""The assessment as one HTML page: the recipes, the cautions, outliers along the data path, and each part's mean KL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mobilevlm_export.progress import megabytes
from mobilevlm_host.pages.charts import Line, line_chart, log_scale
from mobilevlm_host.pages.html_page import Page
from mobilevlm_host.sensitivity.assess import Assessment
from mobilevlm_host.sensitivity.channels import Ratios
from mobilevlm_host.sensitivity.part_costs import Cost, Outliers

PAGE = Page("sensitivity", "sensitivity chart")


def write_chart(found: Assessment, path: Path) -> None:
    """Write ``path`` (HTML) atomically; errors as :meth:`Page.require_place`."""
    sensitivity = found.sensitivity
    scale = log_scale([cost.mean_kl for cost in sensitivity.costs])
    recipes = [(cost.scheme, cost) for cost in found.stock]
    if found.proposal:
        recipes.append(("proposed", found.proposal.cost))
    PAGE.write(
        path,
        samples=sensitivity.samples,
        given=found.given,
        calibration_images=found.plan.calibration_images,
        sound=found.recommendation.sound,
        recommended=found.recommendation.cost.scheme,
        advice=found.advice,
        recipes=[
            _row(cost, 0) | {"name": name, "weights": megabytes(found.weight_bytes(cost))} for name, cost in recipes
        ],
        cautions=[caution.line for caution in found.cautions],
        outliers=[_outlier_row(each) for each in sensitivity.outliers],
        charts=[
            _outlier_chart("activations", sensitivity.outliers, lambda ratios: ratios.activations),
            _outlier_chart("weights", sensitivity.outliers, lambda ratios: ratios.weights),
        ],
        least=f"{scale.low:.0e}",
        costs=[_row(cost, scale.height(cost.mean_kl)) for cost in sensitivity.costs],
    )


def _outlier_chart(what: str, outliers: Sequence[Outliers], ratio: Callable[[Ratios], float]) -> dict[str, Any]:
    """The ratios of all linears along the data path, as published and as rewritten."""
    lines = [
        Line("as published", "worst", [ratio(each.published) for each in outliers]),
        Line("as rewritten for export", "rewritten", [ratio(each.rewritten) for each in outliers]),
    ]
    title = f"Largest channel of the {what} relative to the median"
    chart = line_chart(
        lines,
        title=title,
        x_title="layer, along the data path",
        y_title="times the median",
        scale=log_scale([1.0, *(value for line in lines for value in line.values)]),
        steps_named=[_short(each.place) for each in outliers],
    )
    return {"title": title, "chart": chart, "lines": lines}


def _short(place: str) -> str:
    """``vision.layers.3.mlp.fc1`` → ``vision 3``."""
    part, *inside = place.split(".")
    return f"{part} {inside[1]}" if inside[:1] == ["layers"] else part


def _outlier_row(each: Outliers) -> dict[str, str]:
    return {"place": each.place} | {
        f"{when}_{what}": f"{getattr(ratios, what):.1f}"
        for when, ratios in (("published", each.published), ("rewritten", each.rewritten))
        for what in ("activations", "weights")
    }


def _row(cost: Cost, share: float) -> dict[str, Any]:
    """The template's values for one cost; ``share`` is the length of its bar, 0 to 1."""
    return {
        "component": cost.component,
        "scheme": cost.scheme,
        "width": f"{100 * (share if math.isfinite(share) else 1):.1f}",
        "saves": megabytes(cost.bytes_saved),
        "cosine": f"{cost.cosine:.6f}",
        "mean_kl": f"{cost.mean_kl:.2e}",
        "flips": cost.flips,
    }
