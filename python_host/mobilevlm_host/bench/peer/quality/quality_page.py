"""The tables as one HTML page, with plots of KL against bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mobilevlm_host.bench.peer.quality.exam import Faithfulness
from mobilevlm_host.bench.peer.quality.kit_quality import KIT
from mobilevlm_host.bench.peer.quality.llama_cpp_quality import PEER, UNQUANTIZED
from mobilevlm_host.bench.peer.quality.quality_report import (
    COLUMNS,
    QualityComparison,
    QualityRow,
    QualityTable,
    figures,
)
from mobilevlm_host.pages.charts import Point, Scale, close_scale, log_scale, point_chart
from mobilevlm_host.pages.html_page import Page

PAGE = Page("quality", "quality page")
_KINDS = {KIT: "own", PEER: "peer"}


def write_quality_page(found: QualityComparison, path: Path) -> None:
    """Write ``path`` (HTML) atomically; errors as :meth:`Page.require_place`."""
    drawn = [each for table in found.tables for row in _drawn(table) for each in (row.decoder, row.model)]
    scale = log_scale([bound for each in drawn for bound in each.kl_interval])
    PAGE.write(
        path,
        questions=found.questions,
        engines=list(_KINDS.items()),
        columns=COLUMNS,
        tables=[_shown(table, scale) for table in found.tables],
    )


def _drawn(table: QualityTable) -> list[QualityRow]:
    return [row for row in table.rows if row.name != UNQUANTIZED]  # it would be far from all others


def _shown(table: QualityTable, scale: Scale) -> dict[str, Any]:
    """The template's values for one checkpoint; all charts have the same vertical ``scale``."""
    decoder = [(row, row.decoder_bytes, row.decoder) for row in _drawn(table)]
    model = [(row, row.model_bytes, row.model) for row in _drawn(table)]
    return {
        "name": table.name,
        "charts": [
            ("The decoder, with the images of the fp32 model", _chart(f"{table.name}, decoder", decoder, scale)),
            ("The whole model", _chart(f"{table.name}, whole model", model, scale)),
        ],
        "rows": [figures(row) for row in table.rows],
    }


def _chart(title: str, rows: Sequence[tuple[QualityRow, int, Faithfulness]], scale: Scale) -> Markup:
    points = [
        Point(row.name, _KINDS[row.engine], size / 1e6, found.mean_kl, found.kl_interval) for row, size, found in rows
    ]
    return point_chart(
        points,
        title=title,
        x_title="MB of weights",
        y_title="mean KL",
        x_scale=close_scale([point.x for point in points]),
        y_scale=scale,
    )
