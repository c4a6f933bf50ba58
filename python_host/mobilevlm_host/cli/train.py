"""``mvlm train``: train the demo model from scratch, or a checkpoint on real data in the paper's two stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json, print_table


@click.group(
    name="train",
    epilog=examples(
        "mvlm train demo -o demo-checkpoint",
        "mvlm train stage1 --data captions.json --images pictures --checkpoint 1.7b-start -o stage1",
        "mvlm train stage2 --data questions.json --images pictures --checkpoint stage1 -o stage2",
    ),
)
def train_group() -> None:
    """Train the demo model, or a checkpoint on your own data (the paper's two stages)."""


@train_group.command(epilog=examples("mvlm train demo -o demo-checkpoint", "mvlm train demo -o other --seed 1 --json"))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The checkpoint folder to write.")
@click.option("--seed", default=0, show_default=True, help="Determines the initial weights and the order of the data.")
@json_option
def demo(output: Path, seed: int, as_json: bool) -> None:
    """Train the demo model from scratch on generated scenes.

    Takes an hour or two on two cores. Ctrl-C saves the progress in OUTPUT.training: run the command again to continue.
    """
    from mobilevlm_export.train.model_card import accuracy_rows
    from mobilevlm_export.train.train_demo import train_demo, training_folder

    with _resumable(training_folder(output)), drawn_progress() as progress:
        clean, camera = train_demo(output, seed=seed, progress=progress)
    if as_json:
        print_json({"checkpoint": str(output), "clean": clean, "camera": camera})
    else:
        print_table(f"Wrote {output}", ("held-out questions", "clean", "camera-like"), accuracy_rows(clean, camera))


@contextmanager
def _resumable(kept: Path) -> Iterator[None]:
    """Explain how to resume if the run is interrupted and its progress is saved in ``kept``."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if kept.exists():
            stop.add_note(f"Stopped. Progress is saved in {kept}; run the same command again to continue.")
        raise


def _data_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that both stages share."""
    for option in reversed(
        (
            click.option("--data", required=True, type=click.Path(path_type=Path), help="JSON list of conversations."),
            click.option("--images", required=True, type=click.Path(path_type=Path), help="Folder of its images."),
            click.option("--checkpoint", required=True, help="Initial checkpoint: a folder, a model id, or demo."),
            click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Checkpoint to write."),
            click.option(
                "--vision-tower",
                type=click.Path(path_type=Path),
                help="A CLIP folder, for a checkpoint without a tower.",
            ),
            click.option("--epochs", type=click.IntRange(min=1), help="Passes over the data. [default: 1]"),
            click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps, instead of epochs."),
            click.option("--batch-size", type=click.IntRange(min=1), help="Samples per step, over all processes."),
            click.option("--micro-batch-size", type=click.IntRange(min=1), help="Samples a process runs at once."),
            click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="The LLM's peak rate."),
            click.option("--projector-learning-rate", type=click.FloatRange(min=0, min_open=True)),
            click.option("--max-tokens", type=click.IntRange(min=64), help="Longest sample. [default: 2048]"),
            click.option("--workers", type=click.IntRange(min=0), help="Processes that open images. [default: 2]"),
            click.option("--save-every", type=click.IntRange(min=1), help="Steps between saved states. [default: 200]"),
            click.option("--seed", type=int, help="Order of the data. [default: 0]"),
            click.option("--bf16/--fp32", "bf16", default=None, help="Precision of the arithmetic. [default: bf16]"),
            click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=None, help="[default: on]"),
        )
    ):
        command = option(command)
    return command


@train_group.command(
    epilog=examples(
        "mvlm train stage1 --data captions.json --images pictures --checkpoint 1.7b-start -o stage1",
        "torchrun --nproc-per-node 8 --no-python mvlm train stage1 --data captions.json --images pictures "
        "--checkpoint 1.7b-start -o stage1",
    )
)
@_data_options
def stage1(**options: Any) -> None:
    """Pre-train on captions: projector and LLM, plain template, batch 256, rates 1e-3 and 2e-5.

    --data is a JSON list in the format of LLaVA and ShareGPT4V. Ctrl-C saves the progress in OUTPUT.state: run the
    command again to continue.
    """
    _train("stage1", **options)


@train_group.command(
    epilog=examples(
        "mvlm train stage2 --data questions.json --images pictures --checkpoint stage1 -o stage2",
        "mvlm train stage2 --data my.json --images pictures --checkpoint MobileVLM_V2-1.7B -o mine --batch-size 16",
    )
)
@_data_options
def stage2(**options: Any) -> None:
    """Train on questions and answers: projector and LLM, v1 template, batch 128, rate 4e-5.

    --data is a JSON list in the format of LLaVA and ShareGPT4V. Ctrl-C saves the progress in OUTPUT.state: run the
    command again to continue.
    """
    _train("stage2", **options)


def _train(
    name: str,
    data: Path,
    images: Path,
    checkpoint: str,
    output: Path,
    vision_tower: Path | None,
    **changes: Any,
) -> None:
    from dataclasses import replace

    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_export.train.stage import STAGES
    from mobilevlm_export.train.train_checkpoint import TrainConfig, state_of, train

    stage = replace(STAGES[name], **{option: value for option, value in changes.items() if value is not None})
    with _resumable(state_of(output)), drawn_progress() as progress:
        folder = resolve_checkpoint(checkpoint, progress)
        losses = train(TrainConfig(stage, data, images, folder, output, vision_tower), progress)
    last = f", the last loss {losses[-1]:.4f}" if losses else ""
    click.echo(f"Wrote {output}: {len(losses)} steps{last}")
