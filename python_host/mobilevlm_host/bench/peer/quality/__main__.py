"""``python -m mobilevlm_host.bench.peer.quality``: compare what quantization costs. ``make bench QUALITY=1`` runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from mobilevlm_host.bench.peer.require_peer import require_peer
from mobilevlm_host.terminal.command import examples, hide_library_warnings, json_option, one_line_errors
from mobilevlm_host.terminal.output import drawn_progress, print_json


@click.command(
    epilog=examples(
        "python -m mobilevlm_host.bench.peer.quality",
        "python -m mobilevlm_host.bench.peer.quality --questions 200 --page quality.html",
    )
)
@click.option("--questions", type=click.IntRange(min=1), default=1000, show_default=True, help="Held-out questions.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default=True,
    help="CPU threads of llama.cpp.",
)
@click.option(
    "--page", type=click.Path(path_type=Path), help="Also write an HTML page with a plot of KL against bytes."
)
@json_option
def main(questions: int, threads: int, page: Path | None, as_json: bool) -> None:
    """Compare the kit's recipes with llama.cpp's quantizations: bytes, answers, and KL of the demo model's decoder and of all of it.

    The demo is widened, without changing what it computes, so that llama.cpp's K-quants fit.
    """
    hide_library_warnings()
    with one_line_errors():
        require_peer()
        from mobilevlm_host.bench.peer.quality.compare_quality import compare_quality
        from mobilevlm_host.bench.peer.quality.quality_page import PAGE, write_quality_page
        from mobilevlm_host.bench.peer.quality.quality_report import print_quality

        if page is not None:
            PAGE.require_place(page)
        with drawn_progress() as progress:
            found = compare_quality(questions, threads, progress)
        if page is not None:
            write_quality_page(found, page)
        if as_json:
            print_json(found.to_json())
        else:
            print_quality(found)


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m mobilevlm_host.bench.peer.quality"))
