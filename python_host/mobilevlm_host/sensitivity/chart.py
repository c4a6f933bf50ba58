"""The costs as one HTML file with a drawing: KL over bytes saved, a mark for each component and scheme. Nothing is fetched."""

from __future__ import annotations

import html
import math
from pathlib import Path

from mobilevlm_export.progress import megabytes
from mobilevlm_host.html_page import require_place, write_page
from mobilevlm_host.sensitivity.measure import Cost, Sensitivity

_MARK = b"<!doctype html><!-- mvlm sensitivity -->"
_CALLED = "such a chart"
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:960px;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3rem .5rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}"
    ".bar{fill:#2b6cb0}.int4{fill:#c05621}.int4-calibrated{fill:#2f855a}text{font-size:13px;fill:#222}svg{width:100%}"
)
_ROW, _LEFT, _WIDTH, _BARS = 22, 230, 900, 520


def require_chart_place(path: Path) -> None:
    """Raise ParityError unless ``path`` can be written: its folder exists, and what stands there is an older chart."""
    require_place(path, _MARK, _CALLED)


def write_chart(sensitivity: Sensitivity, path: Path) -> None:
    """Write ``path`` (HTML), whole or not at all."""
    write_page(path, _MARK, _CALLED, render(sensitivity))


def render(sensitivity: Sensitivity) -> str:
    """The page without its first line: bars of mean KL, logarithmic, then the table."""
    usable = [cost.mean_kl for cost in sensitivity.costs if 0 < cost.mean_kl < math.inf] or [1e-6]
    low, high = math.floor(math.log10(min(usable))), math.ceil(math.log10(max(usable)))
    bars = [_bar(at, cost, low, max(high, low + 1)) for at, cost in enumerate(sensitivity.costs)]
    height = _ROW * (len(bars) + 1)
    rows = "".join(
        f"<tr><td>{html.escape(cost.component)}<td>{cost.scheme}<td>{megabytes(cost.bytes_saved)}"
        f"<td>{cost.cosine:.6f}<td>{cost.mean_kl:.2e}<td>{cost.flips}"
        for cost in sensitivity.costs
    )
    return (
        f"<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Quantization, part by part</title><style>{_STYLE}</style><h1>Quantization, part by part</h1>"
        f"<p>One part quantized at a time, all else in float32, over {sensitivity.samples} samples. Bars are the mean KL of the "
        f"logits in nats, from 1e{low}, logarithmic: shorter is better.</p>"
        f"<svg viewBox='0 0 {_WIDTH} {height}' role=img aria-label='Mean KL by component and scheme'>{''.join(bars)}</svg>"
        f"<table><tr><th>component<th>scheme<th>saves<th>cosine<th>mean KL<th>answers changed</tr>{rows}</table></html>\n"
    )


def _bar(at: int, cost: Cost, low: int, high: int) -> str:
    share = 0.0 if cost.mean_kl <= 0 else (math.log10(min(cost.mean_kl, 10.0**high)) - low) / (high - low)
    width, y = max(2.0, _BARS * max(0.0, share)), _ROW * at + 4
    return (
        f"<text x=0 y={y + 12}>{html.escape(cost.component)} {cost.scheme}</text>"
        f"<rect class='bar {cost.scheme}' x={_LEFT} y={y} width={width:.1f} height={_ROW - 8} />"
        f"<text x={_LEFT + width + 6:.1f} y={y + 12}>{cost.mean_kl:.1e}, saves {megabytes(cost.bytes_saved)}</text>"
    )
