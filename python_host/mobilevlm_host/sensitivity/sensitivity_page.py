"""The costs as one HTML page: a bar of mean KL for each component and scheme, then the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mobilevlm_export.progress import megabytes
from mobilevlm_host.pages.charts import log_scale
from mobilevlm_host.pages.html_page import Page
from mobilevlm_host.sensitivity.part_costs import Cost, Sensitivity

PAGE = Page("sensitivity", "sensitivity chart")


def write_chart(sensitivity: Sensitivity, path: Path) -> None:
    """Write ``path`` (HTML) atomically; errors as :meth:`Page.require_place`."""
    scale = log_scale([cost.mean_kl for cost in sensitivity.costs])
    PAGE.write(
        path,
        samples=sensitivity.samples,
        least=f"{scale.low:.0e}",
        costs=[_row(cost, scale.height(cost.mean_kl)) for cost in sensitivity.costs],
    )


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
