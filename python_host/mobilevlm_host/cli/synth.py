"""``mvlm synth``: write a random-weight checkpoint of full size, or a copy of a checkpoint with outliers."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_export.checkpoint.outlier_places import EQUIVALENT, PLACES, STRENGTH
from mobilevlm_export.config import PRESETS
from mobilevlm_host.terminal.command import examples
from mobilevlm_host.terminal.output import drawn_progress


@click.command(
    epilog=examples(
        "mvlm synth 1.7b -o random-1.7b",
        "mvlm synth 1.7b -o loud-1.7b --outliers 50",
        "mvlm synth demo -o loud-demo --outliers 50 --places norm,value",
        "mvlm export loud-demo -o loud-demo.mvlm",
    )
)
@click.argument("size")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random weights, and of the outliers' channels.")
@click.option(
    "--outliers",
    type=float,
    metavar="STRENGTH",
    help=f"Make one channel in 64 this many times larger, as in trained models: for example {STRENGTH:g}.",
)
@click.option(
    "--places",
    default=",".join(EQUIVALENT),
    show_default=True,
    help=f"Where outliers are put, some of {', '.join(PLACES)}; the last only with random weights.",
)
def synth(size: str, output: Path, seed: int, outliers: float | None, places: str) -> None:
    """Write a checkpoint for tests and measurements without real weights.

    SIZE is 1.7b, 3b or 7b (MobileVLM V2), v1-1.7b or v1-3b (the first MobileVLM) or llava-1.5-7b, for random weights of full
    size. Or it is a checkpoint (a folder, a model id, or "demo"), of which
    --outliers writes a copy: it computes the same, and is as hard to quantize as a trained model.
    """
    from mobilevlm_export.checkpoint.outliers import copy_with_outliers
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_export.checkpoint.synth import synth_checkpoint

    chosen = tuple(place.strip() for place in places.split(","))
    if size not in PRESETS and outliers is None:
        raise click.UsageError(
            f"SIZE: got {size!r:.60}, expected {', '.join(PRESETS)}, or a checkpoint with --outliers"
        )
    with drawn_progress() as progress:
        if size in PRESETS:
            synth_checkpoint(size, output, seed=seed, outliers=outliers, places=chosen, progress=progress)
        else:
            assert outliers is not None
            copy_with_outliers(
                resolve_checkpoint(size, progress), output, outliers, chosen, seed=seed, progress=progress
            )
    made = f"{size} with random weights; its answers are noise" if size in PRESETS else f"a copy of {size}"
    click.echo(f"Wrote {output}: {made}" + (f"; outliers of {outliers:g} in {', '.join(chosen)}" if outliers else ""))
