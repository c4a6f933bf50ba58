"""Train the demo model from nothing: tower, captions, then questions and answers. Seeds make it repeatable."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from mobilevlm_export import prompt
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.questions import caption, is_right, questions
from mobilevlm_export.demo.recipe import DEMO_CONFIG
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS, make_scene, render
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.preprocess import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.contrastive import is_camera
from mobilevlm_export.train.conversation import Sample, Template, tokenize
from mobilevlm_export.train.stage import Example, StageConfig

_CAMERA_SHARE = 0.35

CAPTIONS = StageConfig(
    template="plain",
    batch_size=64,
    learning_rate=1.5e-3,
    projector_learning_rate=1.5e-3,
    steps=800,
    micro_batch_size=64,
    gradient_checkpointing=False,
    workers=1,
)
QUESTIONS = StageConfig(
    template="v1",
    batch_size=64,
    learning_rate=1.5e-3,
    projector_learning_rate=1.5e-3,
    steps=3000,
    micro_batch_size=64,
    gradient_checkpointing=False,
    workers=1,
)


class DemoExamples:
    """Scenes ``first`` … as captions (plain template) or conversations of one to eight questions (v1)."""

    def __init__(
        self, config: MobileVLMConfig, tokenizer: Tokenizer, template: Template, first: int, count: int
    ) -> None:
        self.config, self.tokenizer, self.template = config, tokenizer, template
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def lengths(self) -> list[int]:
        """All the same: scenes are drawn when they are needed."""
        return [0] * self.count

    def __getitem__(self, index: int) -> Example:
        seed = self.first + index
        scene = make_scene(seed)
        image = render(scene, size=self.config.vision.image_size, camera=is_camera(seed, _CAMERA_SHARE))
        if self.template == "plain":
            turns = [prompt.Turn("Describe the image.", caption(scene, seed))]
        else:
            asked = questions(scene, seed, count=Random(f"turns {seed}").choice((1, 4, 8, 8)))
            turns = [prompt.Turn(qa.question, qa.answer) for qa in asked]
        tokens = tokenize(self.tokenizer, Sample(str(seed), tuple(turns)), self.template, 400)
        return preprocess(image, self.config), tokens


def initialise(model: MobileVLM) -> None:
    """Small normal weights for the parts that learn from nothing."""
    for part in (model.vision_encoder.projector, model.token_embedding, model.text_decoder):
        for module in part.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.04)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def held_out(
    count: int, *, camera: bool, config: MobileVLMConfig = DEMO_CONFIG
) -> Iterator[tuple[Tensor, str, str, str]]:
    """``count`` held-out questions, two a scene: pixels uint8 [3, S, S], question, answer, kind."""
    given = 0
    for seed in HELD_OUT_SEEDS:
        scene = make_scene(seed)
        pixels = preprocess(render(scene, size=config.vision.image_size, camera=camera), config)
        for qa in questions(scene, seed, count=2):
            if given == count:
                return
            given += 1
            yield pixels, qa.question, qa.answer, qa.kind


@torch.inference_mode()
def accuracy(
    model: MobileVLM, tokenizer: Tokenizer, count: int, *, camera: bool = False, progress: Progress = silent
) -> dict[str, tuple[int, int]]:
    """Right answers and questions by kind, over ``count`` held-out questions, answered greedily."""
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for index, (pixels, question, truth, kind) in enumerate(held_out(count, camera=camera, config=model.config)):
        segments = [
            pixels if segment is prompt.IMAGE else segment
            for segment in prompt.encode_segments(tokenizer, [prompt.Turn(question)])
        ]
        answer = tokenizer.decode(model.generate(segments, 80))
        tally[kind][0] += is_right(answer, truth, kind)
        tally[kind][1] += 1
        progress("held-out questions", index + 1, count)
    return {kind: (right, asked) for kind, (right, asked) in sorted(tally.items())}
