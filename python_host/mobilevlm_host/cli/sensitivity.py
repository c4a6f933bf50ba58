"""``mvlm sensitivity``: which recipe a checkpoint should take, what each part costs, and a recipe for a budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_export.progress import megabytes
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_facts, print_json, print_table, say

if TYPE_CHECKING:
    from mobilevlm_host.sensitivity.assess import Assessment, Proposal
    from mobilevlm_host.sensitivity.part_costs import Outliers, Sensitivity
    from mobilevlm_host.sensitivity.results_file import ResultsFile

_WORST = 8  # places in the table of outliers; --json and --chart have all


@click.command(
    epilog=examples(
        "mvlm sensitivity demo",
        "mvlm sensitivity demo --chart sensitivity.html --budget 3.2MB -o small.toml",
        "mvlm sensitivity ./MobileVLM_V2-1.7B --images photos --budget 900MB -o small.toml",
    )
)
@click.argument("checkpoint")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder of images. [default: the demo's scenes and a dozen more]",
)
@click.option(
    "--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without a tower."
)
@click.option("--budget", help="Propose the recipe with the least KL whose weights take at most this size, like 900MB.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the proposed recipe to this new file (NAME.toml), for mvlm export --recipe.",
)
@click.option("--chart", type=click.Path(path_type=Path), help="Write one HTML file; replaces an older chart.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    help="Measure as many of the images as fit into about this time.",
)
@json_option
def sensitivity(
    checkpoint: str,
    images: Path | None,
    vision_tower: Path | None,
    budget: str | None,
    output: Path | None,
    chart: Path | None,
    minutes: float,
    as_json: bool,
) -> None:
    """Recommend a recipe for CHECKPOINT: quantize it part by part and as a whole, and show outliers, bytes saved, divergence and
    changed answers.

    Results are kept, so a command that was interrupted continues when it is repeated.
    """
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_export.files.atomic_file import atomic_file, new_only
    from mobilevlm_export.quantize.recipe_file import recipe_text
    from mobilevlm_host.sensitivity.assess import assess
    from mobilevlm_host.sensitivity.budget import parse_bytes
    from mobilevlm_host.sensitivity.sensitivity_page import PAGE, write_chart

    limit = None if budget is None else parse_bytes(budget)  # checked before the work
    if output and limit is None:
        raise click.UsageError("-o writes the recipe that --budget proposes: give a budget")
    if output:
        require_recipe_place(output)
    if chart:
        PAGE.require_place(chart)
    with drawn_progress() as progress, _kept_results() as kept:
        found = assess(
            resolve_checkpoint(checkpoint, progress),
            images=images,
            vision_tower=vision_tower,
            budget=limit,
            name=output.stem if output else "proposed",
            minutes=minutes,
            progress=progress,
            started=kept.append,
        )
    if chart:
        write_chart(found, chart)
    if found.proposal and output:
        with atomic_file(output, replaceable=new_only("file")) as beside:
            beside.write_text(recipe_text(found.proposal.recipe), encoding="utf-8")
    if as_json:
        print_json(found.to_json())
        return
    print_costs(checkpoint, found.sensitivity)
    print_outliers(found.sensitivity.outliers)
    for caution in found.cautions:
        click.echo(f"Caution: {caution.line}")
    if found.proposal:
        print_proposal(found.proposal)
    print_recipes(found)
    if found.proposal:
        if not output:
            click.echo("Save these lines as small.toml (or give -o small.toml):\n" + recipe_text(found.proposal.recipe))
        click.echo(f"mvlm export {checkpoint} -o small.mvlm --recipe {output or 'small.toml'}")


class _Kept(list["ResultsFile"]):
    """The file of results, as soon as it is known."""

    def append(self, results: ResultsFile) -> None:
        """Say on stderr what is reused."""
        super().append(results)
        if results.measured:
            say(f"Continuing from {results.measured} results in {results.path}; delete it to measure again.", err=True)


@contextmanager
def _kept_results() -> Iterator[_Kept]:
    """Note what is kept, if the command is interrupted."""
    kept = _Kept()
    try:
        yield kept
    except (KeyboardInterrupt, SystemExit) as stop:
        for results in kept:
            stop.add_note(
                f"Interrupted: {results.measured} results are kept, and the same command continues from them."
            )
        raise


def require_recipe_place(output: Path) -> None:
    """Raise an error unless a recipe can be written to ``output``."""
    from mobilevlm_export.files.atomic_file import new_only, require_place

    if output.suffix != ".toml" or output.exists() or not output.parent.is_dir():
        raise click.UsageError(f"{output}: expected the name of a new .toml file in an existing folder")
    require_place(output, replaceable=new_only("file"))


def print_costs(checkpoint: str, sensitivity: Sensitivity) -> None:
    """What each part saves and costs."""
    rows = [
        (
            cost.component,
            cost.scheme,
            megabytes(cost.bytes_saved),
            f"{cost.cosine:.6f}",
            f"{cost.mean_kl:.2e}",
            str(cost.flips),
        )
        for cost in sensitivity.costs
    ]
    title = f"{checkpoint}: one part quantized at a time, {sensitivity.samples} samples; {megabytes(sensitivity.fp32_bytes)} in fp32"
    print_table(title, ("component", "scheme", "saves", "cosine", "mean KL", "answers changed"), rows)


def print_outliers(outliers: tuple[Outliers, ...]) -> None:
    """The linears with the largest outliers, as published."""
    worst = sorted(outliers, key=lambda each: -max(each.published.activations, each.published.weights))[:_WORST]
    rows = [
        (
            each.place,
            f"{each.published.activations:.1f}",
            f"{each.rewritten.activations:.1f}",
            f"{each.published.weights:.1f}",
            f"{each.rewritten.weights:.1f}",
        )
        for each in worst
    ]
    title = f"Largest channel relative to the median, as published and as rewritten for export: {len(worst)} of {len(outliers)} inputs"
    print_table(title, ("input of", "activations", "rewritten", "weights", "rewritten"), rows)


def print_proposal(proposal: Proposal) -> None:
    """The proposed recipe."""
    print_facts(
        "Proposed: of all recipes that fit, the one with the least sum of KL (exact knapsack)",
        {knob: scheme for knob, scheme in proposal.recipe.to_json().items() if knob != "name"},
    )


def print_recipes(found: Assessment) -> None:
    """The kit's recipes and the proposed one, and which to take."""
    costs = [*found.stock, *([found.proposal.cost] if found.proposal else [])]
    rows = [
        (
            cost.scheme if cost in found.stock else "proposed",
            megabytes(found.weight_bytes(cost)),
            f"{cost.mean_kl:.2e}",
            f"{cost.flips} of {found.sensitivity.samples}",
        )
        for cost in costs
    ]
    measured = f"measured over {found.sensitivity.samples} of {found.given} samples"
    title = f"Whole recipes, {measured}, calibrated with {found.plan.calibration_images} images"
    print_table(title, ("recipe", "weights", "mean KL", "answers changed"), rows)
    click.echo(found.advice)
