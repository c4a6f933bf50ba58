"""``mvlm demo``: export and run the built-in model."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_export.job import DEFAULT_RECIPE
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json, say


@click.command(epilog=examples("mvlm demo", "mvlm demo --questions 500", "mvlm demo --recipe int8 --json"))
@click.option("-o", "--output", default="demo.mvlm", show_default=True, type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_name", type=click.Choice(tuple(RECIPES)), default=DEFAULT_RECIPE, show_default=True)
@click.option(
    "--questions",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Held-out questions that the bundle and the fp32 model both answer.",
)
@json_option
def demo(output: Path, recipe_name: str, questions: int, as_json: bool) -> None:
    """Export the built-in demo model, ask it about sample images, and compare it with fp32."""
    from mobilevlm_host.demo import run_demo

    with drawn_progress() as progress:
        report = run_demo(output, recipe_name, questions, progress, say=None if as_json else say)
    if as_json:
        print_json(report.to_json())
    else:
        report.print()
