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
from mobilevlm_export.train.conversation import read_conversations
from mobilevlm_export.train.images import ImageConversations
from mobilevlm_export.train.stage import StageConfig, train_stage


@dataclass(frozen=True)
class TrainConfig:
    """One training run. ``output`` is the new checkpoint's folder; the log, and the state until the run is done, are next to it."""

    stage: StageConfig
    data: Path
    images: Path
    checkpoint: Path
    output: Path
    vision_tower: Path | None = None
    dtype: torch.dtype = torch.float16

    @property
    def state(self) -> Path:
        """The file from which an interrupted run resumes."""
        return state_of(self.output)

    @property
    def log(self) -> Path:
        """The log file: the loss of each step."""
        return self.output.with_name(self.output.name + ".log")


def state_of(output: Path) -> Path:
    """The path of the state of a run into ``output`` until it is done."""
    return output.with_name(output.name + ".state")


def train(config: TrainConfig, progress: Progress = silent) -> list[float]:
    """Train ``config.checkpoint`` into ``config.output``; returns this call's losses by step.

    An interrupted run resumes from its state when it is started again. Under ``torchrun`` it is one of several
    processes, which use NCCL on GPUs, else gloo.

    Raises:
        TrainError: data, images or state can't be used, the output exists, or the loss is not a finite number.
        CheckpointError: the checkpoint can't be read.
    """
    require_place(config.output, error=TrainError, replaceable=new_only("folder", TrainError))
    samples = read_conversations(config.data)
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
            # The model's own weights may be sharded; the state has the full ones.
            trained = load_checkpoint(config.checkpoint, vision_tower=config.vision_tower)
            trained.load_state_dict(torch.load(config.state, weights_only=True, map_location="cpu")["model"])
            save_checkpoint(trained, config.output, tokenizer_model=tokenizer.path, dtype=config.dtype)
            config.state.unlink(missing_ok=True)
    return losses


@contextmanager
def _processes() -> Iterator[torch.device]:
    """This process's device; joins the process group if started by ``torchrun``."""
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
