"""Stage 0: train a vision tower from scratch, then freeze it. (The paper uses CLIP's pretrained tower instead.)

Image and caption embeddings of a batch are matched as in CLIP (arXiv 2103.00020, figure 3). An auxiliary loss makes
every patch predict the color and name of the object that covers it, because matching alone needs far more data to bind
a color to a shape. Both losses read ``hidden_states[-2]``, the features that the language model will see; both heads
are discarded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.questions import caption
from mobilevlm_export.demo.scenes import COLORS, DIGITS, SHAPES, WORDS, make_scene, regions, render
from mobilevlm_export.model.vision_encoder import CLIPVisionTower
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.schedule import learning_rate_scale
from mobilevlm_export.train.state import Steps

_COLOR_CLASSES = {name: index for index, name in enumerate(COLORS)}
_NAME_CLASSES = {name: index for index, name in enumerate((*SHAPES, *DIGITS, *WORDS))}
_CAPTION_TOKENS = 64
_SAVE_EVERY = 200  # steps
_UNCOVERED = -100  # torch's ignored class: patches of the background have no words


@dataclass(frozen=True)
class ContrastiveConfig:
    """``images`` scenes are each seen once, in batches; a fraction ``camera_share`` of them as photos of prints."""

    images: int = 180_000
    batch_size: int = 96
    learning_rate: float = 1.5e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    camera_share: float = 0.4
    embedding_size: int = 128
    workers: int = 1
    seed: int = 0


def is_camera(seed: int, share: float) -> bool:
    """Whether the training scene of ``seed`` is shown as a photo, as a fraction ``share`` of all scenes are."""
    return Random(f"camera {seed}").random() < share


class SceneImages(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Item ``index``: a scene's pixels uint8 [3, S, S], caption ids int64 [64], and its patches' words int64 [2, P]."""

    def __init__(self, config: MobileVLMConfig, tokenizer: Tokenizer, options: ContrastiveConfig, first: int) -> None:
        self.config, self.tokenizer, self.options, self.first = config, tokenizer, options, first

    def __len__(self) -> int:
        return self.options.images - self.first

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        seed = self.first + index
        scene = make_scene(seed)
        size = self.config.vision.image_size
        image = render(scene, size=size, camera=is_camera(seed, self.options.camera_share))
        ids = self.tokenizer.encode(caption(scene, seed))[:_CAPTION_TOKENS]
        padded = torch.full((_CAPTION_TOKENS,), -1)
        padded[: len(ids)] = torch.tensor(ids)
        cover = torch.from_numpy(regions(scene, self.config.vision.grid)).flatten()
        colors = torch.tensor([_COLOR_CLASSES[item.color] for item in scene.objects] + [_UNCOVERED])
        names = torch.tensor([_NAME_CLASSES[item.name] for item in scene.objects] + [_UNCOVERED])
        return preprocess(image, self.config), padded, torch.stack([colors[cover], names[cover]])


class ContrastiveHeads(nn.Module):
    """The modules trained with the tower and then discarded: a text encoder, projections, and the patches' word classifiers."""

    def __init__(self, config: MobileVLMConfig, options: ContrastiveConfig) -> None:
        super().__init__()
        width, size = config.vision.hidden_size, options.embedding_size
        self.tokens = nn.Embedding(config.llm.vocab_size + 1, size)
        self.positions = nn.Parameter(torch.randn(_CAPTION_TOKENS, size) * 0.02)
        layer = nn.TransformerEncoderLayer(size, 4, 4 * size, dropout=0.0, batch_first=True, norm_first=True)
        self.text = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.text_out = nn.Linear(size, size)
        self.image_norm = nn.LayerNorm(width)
        self.image_out = nn.Linear(width, size)
        self.color = nn.Linear(width, len(_COLOR_CLASSES))
        self.name = nn.Linear(width, len(_NAME_CLASSES))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, features: Tensor, captions: Tensor, words: Tensor) -> dict[str, Tensor]:
        """Losses and accuracies of ``features`` [N, P, width], ``captions`` [N, 64] and ``words`` [N, 2, P]."""
        shown = captions >= 0
        x = self.tokens(captions + 1) + self.positions
        x = self.text(x, src_key_padding_mask=~shown)
        text = self.text_out((x * shown[..., None]).sum(1) / shown.sum(1, keepdim=True))
        normed = self.image_norm(features)
        image = self.image_out(normed.mean(1))
        similarity = (
            nn.functional.normalize(image) @ nn.functional.normalize(text).T * self.log_scale.exp().clamp(max=100)
        )
        target = torch.arange(len(similarity))
        match = nn.functional.cross_entropy(similarity, target) + nn.functional.cross_entropy(similarity.T, target)
        colors, names = self.color(normed).transpose(1, 2), self.name(normed).transpose(1, 2)
        covered = words[:, 0] != _UNCOVERED
        return {
            "loss": match / 2
            + nn.functional.cross_entropy(colors, words[:, 0])
            + 2 * nn.functional.cross_entropy(names, words[:, 1]),
            "match": (similarity.argmax(1) == target).float().mean(),
            "color": (colors.argmax(1) == words[:, 0])[covered].float().mean(),
            "name": (names.argmax(1) == words[:, 1])[covered].float().mean(),
        }


def train_tower(
    config: MobileVLMConfig,
    tokenizer: Tokenizer,
    state: Path,
    options: ContrastiveConfig | None = None,
    progress: Progress = silent,
    log: Path | None = None,
) -> CLIPVisionTower:
    """Train a tower on the demo's scenes; resumes from the file ``state``, which is saved regularly."""
    options = options or ContrastiveConfig()
    torch.manual_seed(options.seed)
    tower = CLIPVisionTower(config.vision)
    _initialize(tower)
    heads = ContrastiveHeads(config, options)
    modules = nn.ModuleDict({"tower": tower, "heads": heads})
    optimizer = torch.optim.AdamW(
        modules.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.98), fused=True
    )
    total = options.images // options.batch_size
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (config.vision.image_mean, config.vision.image_std))
    with Steps(state, modules, optimizer, total, _SAVE_EVERY) as steps:
        progress("vision tower", steps.done, total)
        batches = DataLoader(
            SceneImages(config, tokenizer, options, steps.done * options.batch_size),
            options.batch_size,
            num_workers=options.workers,
            prefetch_factor=4 if options.workers else None,
            drop_last=True,
        )
        for pixels, captions, words in batches:
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * learning_rate_scale(steps.done, total, options.warmup)
            with torch.autocast("cpu", torch.bfloat16):
                features = tower((pixels.float() / 255 - mean) / std)
            result = heads(features.float(), captions, words)
            optimizer.zero_grad(set_to_none=True)
            result["loss"].backward()
            nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
            steps.take()
            progress("vision tower", steps.done, total)
            if log and steps.done % 20 == 1:
                figures = " ".join(f"{name} {value.item():.3f}" for name, value in result.items())
                with log.open("a") as file:
                    file.write(f"tower {steps.done}/{total} {figures}\n")
            steps.save_if_due()
    return tower.eval().requires_grad_(False)


def _initialize(tower: CLIPVisionTower) -> None:
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.03)
            nn.init.zeros_(module.bias)
