"""One training stage: projector and language model learn, the vision tower stays frozen (the paper, section 4.1).

With ``torch.distributed`` initialized (``torchrun``), FSDP shards weights, gradients and optimizer state over all
processes; the loss curve is the same as with one process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from mobilevlm_export.errors import ConfigError, TrainError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.train.conversation import IGNORED, TemplateName, Tokens, group_by_length
from mobilevlm_export.train.schedule import learning_rate_scale
from mobilevlm_export.train.state import Steps

Example = tuple[Tensor | None, Tokens]


@dataclass(frozen=True)
class StageConfig:
    """One stage. ``batch_size`` is the number of samples per optimizer step over all processes, ``micro_batch_size`` the
    number that one process runs at once; ``steps`` 0 means ``epochs`` over the data. Lengths are in tokens.
    """

    template: TemplateName
    batch_size: int
    learning_rate: float
    projector_learning_rate: float
    epochs: int = 1
    steps: int = 0
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_tokens: int = 2048
    micro_batch_size: int = 8
    bf16: bool = True
    gradient_checkpointing: bool = True
    workers: int = 2
    save_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "micro_batch_size", "max_tokens", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "projector_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name}: got {getattr(self, name)}, expected a positive number")


# The paper's hyper-parameters (section 4.1 and the authors' scripts).
STAGES = {
    "stage1": StageConfig(template="plain", batch_size=256, learning_rate=2e-5, projector_learning_rate=1e-3),
    "stage2": StageConfig(template="v1", batch_size=128, learning_rate=4e-5, projector_learning_rate=4e-5),
}


class Examples(Protocol):
    """The data of a stage: for each example, an image's pixels uint8 [3, S, S] (or None) and its conversation's tokens."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Example: ...
    def lengths(self) -> list[int]:
        """The approximate length of each example, for grouping by length."""
        ...


class _Learner(nn.Module):
    """The model with its loss as ``forward``: the root module that FSDP wraps."""

    def __init__(self, model: MobileVLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: list[Example]) -> Tensor:
        return summed_loss(self.model, batch)


def train_stage(
    model: MobileVLM,
    examples: Examples,
    config: StageConfig,
    state: Path,
    progress: Progress = silent,
    log: Path | None = None,
) -> list[float]:
    """Train ``model`` in place; returns the loss of every step of this call.

    Resumes from the file ``state``, which is saved regularly. After a distributed run the parameters of ``model`` are
    sharded; the full ones are in ``state``.

    Raises:
        TrainError: the state doesn't fit, or the loss is not a finite number.
    """
    torch.manual_seed(config.seed)
    model.train().requires_grad_(True)
    model.vision_encoder.tower.requires_grad_(False)
    model.text_decoder.checkpoint_layers = config.gradient_checkpointing
    learner = _Learner(model)
    if dist.is_initialized():
        for layer in model.text_decoder.layers:
            fully_shard(layer)
        fully_shard(learner)
    optimizer = _optimizer(model, config)
    batches = _batches(examples, config)
    losses: list[float] = []
    with Steps(state, model, optimizer, len(batches), config.save_every) as steps:
        progress(f"{config.template} stage", steps.done, len(batches))
        for batch in _load_batches(examples, batches[steps.done :], config):
            scale = learning_rate_scale(steps.done, len(batches), config.warmup)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * scale
            try:
                loss = _gradients(learner, optimizer, batch, config)
            except FloatingPointError as error:
                raise TrainError(
                    f"step {steps.done + 1}: got {error}, expected a finite one; {state} has the last good state"
                ) from None
            steps.take()
            losses.append(loss)
            progress(f"{config.template} stage", steps.done, len(batches))
            if log and (steps.done % 20 == 1 or steps.done == len(batches)) and _world()[0] == 0:
                with log.open("a") as file:
                    file.write(
                        f"{time.strftime('%F %T')} {config.template} {steps.done}/{len(batches)} loss {loss:.4f}\n"
                    )
            steps.save_if_due()
    model.text_decoder.checkpoint_layers = False
    model.eval()
    return losses


def _optimizer(model: MobileVLM, config: StageConfig) -> torch.optim.Optimizer:
    llm = [*model.token_embedding.parameters(), *model.text_decoder.parameters()]
    groups = [
        {"params": list(model.vision_encoder.projector.parameters()), "peak": config.projector_learning_rate},
        {"params": llm, "peak": config.learning_rate},
    ]
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98), fused=True
    )


def _world() -> tuple[int, int]:
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _batches(examples: Examples, config: StageConfig) -> list[list[int]]:
    """The indices of every step's samples, in order; identical in all processes."""
    batches: list[list[int]] = []
    epoch = 0
    while len(batches) < config.steps or epoch < (0 if config.steps else config.epochs):
        batches += group_by_length(examples.lengths(), config.batch_size, config.seed + epoch)
        epoch += 1
    return batches[: config.steps] if config.steps else batches


def _load_batches(examples: Examples, batches: list[list[int]], config: StageConfig) -> Iterator[list[Example]]:
    """This process's share of each batch, prefetched by worker processes.

    Sharded processes must run in step: where a batch doesn't divide evenly, a share is filled with a sample whose
    labels are all masked.
    """
    rank, world = _world()
    shares = [batch[rank::world] or batch[:1] for batch in batches]
    loader: DataLoader[Example] = DataLoader(
        examples,  # type: ignore[arg-type]
        batch_sampler=shares,
        collate_fn=list,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
    )
    for batch, share in zip(batches, loader, strict=True):
        own, even = len(batch[rank::world]), math.ceil(len(batch) / world)
        yield share[:own] + [_masked(share[0])] * (even - own)


def _masked(example: Example) -> Example:
    image, tokens = example
    return image, Tokens(tokens.ids, [IGNORED] * len(tokens.ids), tokens.image_at)


def _gradients(learner: _Learner, optimizer: torch.optim.Optimizer, batch: list[Example], config: StageConfig) -> float:
    """Compute the gradients of ``batch`` in micro-batches; returns the mean loss over its learned tokens in all processes."""
    device = learner.model.token_embedding.weight.device
    _, world = _world()
    learned = torch.tensor(float(sum(_learned_tokens(tokens) for _, tokens in batch)), device=device)
    if dist.is_initialized():
        dist.all_reduce(learned)
    total = torch.zeros((), device=device)
    optimizer.zero_grad(set_to_none=True)
    batch = sorted(batch, key=lambda example: len(example[1].ids))  # similar lengths together: less padding
    for at in range(0, len(batch), config.micro_batch_size):
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            loss = learner(batch[at : at + config.micro_batch_size]) / learned.clamp(min=1)
        (loss * world).backward()  # FSDP averages over processes, but the loss is their sum
        total += loss.detach()
    if dist.is_initialized():
        dist.all_reduce(total)
    if not math.isfinite(total.item()):
        raise FloatingPointError(f"a loss of {total.item()}")
    nn.utils.clip_grad_norm_([p for p in learner.parameters() if p.requires_grad], 1.0)
    return total.item()


def _learned_tokens(tokens: Tokens) -> int:
    return sum(label != IGNORED for label in tokens.labels[1:])


def summed_loss(model: MobileVLM, batch: list[Example]) -> Tensor:
    """Cross-entropy summed over the learned tokens of ``batch``."""
    device = model.token_embedding.weight.device
    side = model.config.vision.image_size
    pixels = [image for image, _ in batch if image is not None]
    # Text without images still runs an empty image with weight zero: sharded processes must all use the same weights.
    encoded = model.vision_encoder(torch.stack(pixels or [torch.zeros(3, side, side, dtype=torch.uint8)]).to(device))
    images = iter(encoded if pixels else ())
    rows, targets = [], []
    for image, tokens in batch:
        embeds = model.token_embedding(torch.tensor(tokens.ids, device=device))
        labels = torch.tensor(tokens.labels, device=device)
        if image is not None and tokens.image_at is not None:
            at, shown = tokens.image_at, next(images)
            embeds = torch.cat([embeds[:at], shown, embeds[at:]])
            labels = torch.cat([labels[:at], labels.new_full((len(shown),), IGNORED), labels[at:]])
        rows.append(embeds)
        targets.append(labels)
    # Padding comes last: no learned token attends to it.
    states = model.text_decoder.hidden_states(nn.utils.rnn.pad_sequence(rows, batch_first=True))[:, :-1]
    following = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORED)[:, 1:]
    learned = following != IGNORED
    logits = model.text_decoder.lm_head(states[learned])
    loss = nn.functional.cross_entropy(logits.float(), following[learned], reduction="sum")
    return loss if pixels else loss + 0 * encoded.float().sum()
