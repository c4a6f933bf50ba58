"""``mvlm sensitivity``: what quantizing each part saves and costs, and a recipe for a budget."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_export.progress import megabytes
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_facts, print_json, print_table


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
    help="A folder of pictures. [default: the demo's scenes and a dozen more]",
)
@click.option("--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without one.")
@click.option("--budget", help="Propose the recipe of least KL whose weights take at most so much, like 900MB.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the proposed recipe here (NAME.toml, not there yet), for mvlm export --recipe.",
)
@click.option("--chart", type=click.Path(path_type=Path), help="Write one HTML file; an older chart there is replaced.")
@json_option
def sensitivity(
    checkpoint: str,
    images: Path | None,
    vision_tower: Path | None,
    budget: str | None,
    output: Path | None,
    chart: Path | None,
    as_json: bool,
) -> None:
    """Quantize CHECKPOINT part by part, and say what each saves and costs in divergence and changed answers."""
    from mobilevlm_export.checkpoint.load import load_checkpoint
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_export.files.atomic_file import atomic_file, new_only, require_place
    from mobilevlm_export.quantize.recipe_file import recipe_text
    from mobilevlm_export.tokenizer import checkpoint_tokenizer
    from mobilevlm_host.parity.check import default_samples, read_samples
    from mobilevlm_host.sensitivity.budget import parse_bytes, propose
    from mobilevlm_host.sensitivity.part_costs import STOCK, Samples, measure_recipes, measure_sensitivity
    from mobilevlm_host.sensitivity.sensitivity_page import PAGE, write_chart

    limit = None if budget is None else parse_bytes(budget)  # what can be refused is refused before the work
    if output and limit is None:
        raise click.UsageError("-o writes the recipe that --budget proposes: give a budget")
    if output:
        if output.suffix != ".toml" or output.exists() or not output.parent.is_dir():
            raise click.UsageError(
                f"{output}: expected the name of a .toml file that isn't there yet, in a folder that is"
            )
        require_place(output, replaceable=new_only("file"))
    if chart:
        PAGE.require_place(chart)
    with drawn_progress() as progress:
        folder = resolve_checkpoint(checkpoint, progress)
        model = load_checkpoint(folder, vision_tower=vision_tower, progress=progress)
        shown = default_samples() if images is None else read_samples(images)
        samples = Samples(model, checkpoint_tokenizer(folder), shown, progress)
        found = measure_sensitivity(samples, model, progress)
        if chart:
            write_chart(found, chart)
        recipe = None if limit is None else propose(found, limit, output.stem if output else "proposed")
        wholes = measure_recipes(samples, [*STOCK, recipe], progress) if recipe else []
    if recipe and output:
        with atomic_file(output, replaceable=new_only("file")) as beside:
            beside.write_text(recipe_text(recipe), encoding="utf-8")
    proposal = {}
    if recipe:
        *stock, own = (
            {"weight_bytes": found.fp32_bytes - c.bytes_saved, "mean_kl": c.mean_kl, "flips": c.flips} for c in wholes
        )
        named = {each.name: figures for each, figures in zip(STOCK, stock, strict=True)}
        proposal = {"recipe": recipe.to_json(), **own, "stock_recipes": named}
    if as_json:
        print_json(found.to_json() | ({"proposal": proposal} if proposal else {}))
        return
    rows = [
        (
            cost.component,
            cost.scheme,
            megabytes(cost.bytes_saved),
            f"{cost.cosine:.6f}",
            f"{cost.mean_kl:.2e}",
            str(cost.flips),
        )
        for cost in found.costs
    ]
    title = (
        f"{checkpoint}: one part quantized at a time, {found.samples} samples; {megabytes(found.fp32_bytes)} in fp32"
    )
    print_table(title, ("component", "scheme", "saves", "cosine", "mean KL", "answers changed"), rows)
    if recipe:
        print_facts(
            "Proposed: of all recipes that fit, the least sum of KL (exact knapsack)",
            {knob: scheme for knob, scheme in recipe.to_json().items() if knob != "name"},
        )
        measured = [
            (
                "proposed" if each is recipe else each.name,
                megabytes(found.fp32_bytes - cost.bytes_saved),
                f"{cost.mean_kl:.2e}",
                f"{cost.flips} of {found.samples}",
            )
            for each, cost in zip([*STOCK, recipe], wholes, strict=True)
        ]
        print_table("Whole recipes, measured", ("recipe", "weights", "mean KL", "answers changed"), measured)
        if not output:
            click.echo("Save these lines as small.toml (or give -o small.toml):\n" + recipe_text(recipe))
        click.echo(f"mvlm export {checkpoint} -o small.mvlm --recipe {output or 'small.toml'}")
