"""Train a checkpoint on real data: one stage of the paper's recipe, on one process or many (``torchrun``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.errors import TrainError
from mobilevlm_export.files.atomic_file import new_only, require_place
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_export.train.conversation import read_samples
from mobilevlm_export.train.images import ImageConversations
from mobilevlm_export.train.stage import StageConfig, train_stage


@dataclass(frozen=True)
class TrainConfig:
    """What to train on what. ``output`` is the new checkpoint's folder; the run's log is next to it, and its state until it is done."""

    stage: StageConfig
    data: Path
    images: Path
    checkpoint: Path
    output: Path
    vision_tower: Path | None = None
    dtype: torch.dtype = torch.float16

    @property
    def state(self) -> Path:
        """The file from which an interrupted run goes on."""
        return state_of(self.output)

    @property
    def log(self) -> Path:
        """Loss by step."""
        return self.output.with_name(self.output.name + ".log")


def state_of(output: Path) -> Path:
    """Where the state of a run into ``output`` is kept until it is done."""
    return output.with_name(output.name + ".state")


def train(config: TrainConfig, progress: Progress = silent) -> list[float]:
    """Train ``config.checkpoint`` into ``config.output``; returns this call's losses by step.

    An interrupted run goes on from its state when it is started again. Started by ``torchrun`` it takes its place
    among the processes: NCCL on GPUs, else gloo.

    Raises:
        TrainError: data, images or state can't be used, the output exists, or the loss is not a finite number.
        CheckpointError: the checkpoint can't be read.
    """
    require_place(config.output, error=TrainError, replaceable=new_only("folder", TrainError))
    samples = read_samples(config.data)
    tokenizer = checkpoint_tokenizer(config.checkpoint)
    model = load_checkpoint(config.checkpoint, vision_tower=config.vision_tower, progress=progress)
    examples = ImageConversations(
        samples, config.images, model.config, tokenizer, config.stage.template, config.stage.max_tokens
    )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with _processes() as device:
        model.to(device)
        losses = train_stage(model, examples, config.stage, config.state, progress, config.log)
        if not dist.is_initialized() or dist.get_rank() == 0:
            # Sharded weights are whole only in the state.
            whole = load_checkpoint(config.checkpoint, vision_tower=config.vision_tower)
            whole.load_state_dict(torch.load(config.state, weights_only=True, map_location="cpu")["model"])
            save_checkpoint(whole, config.output, tokenizer_model=tokenizer.path, dtype=config.dtype)
            config.state.unlink(missing_ok=True)
    return losses


@contextmanager
def _processes() -> Iterator[torch.device]:
    """This process's device, among ``torchrun``'s processes if it was started by it."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ or dist.is_initialized():
        yield device
        return
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()
