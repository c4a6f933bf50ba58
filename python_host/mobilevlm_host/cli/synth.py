"""``mvlm synth``: write a random-weight checkpoint of full size."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_host.terminal.command import examples
from mobilevlm_host.terminal.output import drawn_progress


@click.command(epilog=examples("mvlm synth 1.7b -o random-1.7b", "mvlm export random-1.7b -o random-1.7b.mvlm"))
@click.argument("size", type=click.Choice(("1.7b", "3b", "7b")))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random weights.")
def synth(size: str, output: Path, seed: int) -> None:
    """Write a checkpoint of full SIZE with random weights, for tests and measurements without the real ones."""
    from mobilevlm_export.checkpoint.synth import synth_checkpoint

    with drawn_progress() as progress:
        synth_checkpoint(size, output, seed=seed, progress=progress)
    click.echo(f"Wrote {output}: {size} with random weights; its answers are noise")
