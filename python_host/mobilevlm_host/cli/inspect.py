"""``mvlm inspect``: describe a checkpoint, and what a bundle of it would need."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_facts, print_json


@click.command(epilog=examples("mvlm inspect demo", "mvlm inspect ./MobileVLM_V2-1.7B --json"))
@click.argument("checkpoint")
@click.option(
    "--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without a tower."
)
@json_option
def inspect(checkpoint: str, vision_tower: Path | None, as_json: bool) -> None:
    """Print the sizes, parameters and dtypes of CHECKPOINT, and what a bundle of it would need."""
    from mobilevlm_export.checkpoint.inspect import inspect_checkpoint
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint

    with drawn_progress() as progress:
        folder = resolve_checkpoint(checkpoint, progress)
    inspection = inspect_checkpoint(folder, vision_tower=vision_tower)
    if as_json:
        print_json(inspection.to_json())
    else:
        print_facts(inspection.path, dict(inspection.rows()))
