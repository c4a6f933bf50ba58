"""Train the demo model from scratch: tower, captions, then questions and answers. Seeds make it reproducible."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from mobilevlm_export import prompt
from mobilevlm_export.checkpoint.save import write_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.model import DEMO_CONFIG, train_tokenizer
from mobilevlm_export.demo.questions import caption, is_right, questions
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS, make_scene, render
from mobilevlm_export.errors import TrainError
from mobilevlm_export.files.atomic_file import atomic_folder, new_only, require_place
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.contrastive import ContrastiveConfig, is_camera, train_tower
from mobilevlm_export.train.conversation import TemplateName, TrainingSample, tokenize
from mobilevlm_export.train.model_card import Accuracy, model_card
from mobilevlm_export.train.stage import Example, StageConfig, train_stage

_CAMERA_SHARE = 0.35
_CAPTION_SEEDS, _QUESTION_SEEDS = 2_000_000, 3_000_000  # stage 0 begins at 0: no scene is seen in two stages

CAPTIONS = StageConfig(
    template="plain",
    batch_size=64,
    learning_rate=1.5e-3,
    projector_learning_rate=1.5e-3,
    steps=600,
    micro_batch_size=64,
    gradient_checkpointing=False,
    workers=1,
    save_every=100,
)
QUESTIONS = StageConfig(
    template="v1",
    batch_size=64,
    learning_rate=1.5e-3,
    projector_learning_rate=1.5e-3,
    steps=4000,
    micro_batch_size=16,
    gradient_checkpointing=False,
    workers=1,
    save_every=100,
)


@dataclass(frozen=True)
class DemoSchedule:
    """The demo's three stages. The built-in checkpoint was trained with the defaults; tests use smaller values."""

    config: MobileVLMConfig = DEMO_CONFIG
    tower: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    captions: StageConfig = CAPTIONS
    questions: StageConfig = QUESTIONS
    tokenizer_scenes: int = 3000
    held_out_questions: int = 1000


def train_demo(
    out: Path, *, seed: int = 0, schedule: DemoSchedule | None = None, progress: Progress = silent
) -> tuple[Accuracy, Accuracy]:
    """Train the demo model into the new checkpoint folder ``out``; returns held-out accuracy, clean and camera-like.

    The stages' states are in ``OUT.training`` until the checkpoint is written; an interrupted run resumes from there. The log is
    ``OUT.log``.

    Raises:
        TrainError: ``out`` exists, or the saved states are from another run.
    """
    require_place(out, error=TrainError, replaceable=new_only("folder", TrainError))
    schedule = schedule or DemoSchedule()
    work = training_folder(out)
    work.mkdir(parents=True, exist_ok=True)
    _require_same_run(work, f"seed {seed}\n{schedule}\n")
    tokenizer_model = work / "tokenizer.model"
    if not tokenizer_model.exists():
        progress("training the tokenizer", 0, 1)
        train_tokenizer(tokenizer_model, schedule.tokenizer_scenes)
        progress("training the tokenizer", 1, 1)
    tokenizer = Tokenizer(tokenizer_model)
    config = replace(schedule.config, llm=replace(schedule.config.llm, vocab_size=tokenizer.vocab_size))
    log = out.with_name(out.name + ".log")
    tower = train_tower(
        config, tokenizer, work / "tower.state", replace(schedule.tower, seed=seed), progress=progress, log=log
    )
    torch.manual_seed(seed)
    model = MobileVLM(config)
    initialize(model)
    model.vision_encoder.tower.load_state_dict(tower.state_dict())
    stages = ((schedule.captions, _CAPTION_SEEDS, "captions"), (schedule.questions, _QUESTION_SEEDS, "questions"))
    for stage, first, name in stages:
        examples = DemoExamples(config, tokenizer, stage.template, first, stage.steps * stage.batch_size)
        train_stage(model, examples, replace(stage, seed=seed), work / f"{name}.state", progress, log)
    clean, camera = (
        accuracy(model, tokenizer, schedule.held_out_questions, camera=as_photo, progress=progress)
        for as_photo in (False, True)
    )
    save_demo(
        model,
        out,
        tokenizer_model,
        model_card(config, schedule.tower, schedule.captions, schedule.questions, seed, clean, camera),
    )
    shutil.rmtree(work, ignore_errors=True)
    return clean, camera


def training_folder(out: Path) -> Path:
    """The folder of the states of a run into ``out`` until it is done."""
    return out.with_name(out.name + ".training")


def _require_same_run(work: Path, description: str) -> None:
    path = work / "run.txt"
    if not path.exists():
        path.write_text(description, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != description:
        raise TrainError(
            f"{work}: got the states of another seed or schedule, expected this run's; remove it to start again"
        )


def save_demo(model: MobileVLM, out: Path, tokenizer_model: Path, card: str) -> None:
    """Write the checkpoint with its model card to the new folder ``out``, completely or not at all."""
    with atomic_folder(out, error=TrainError) as temporary:
        write_checkpoint(model, temporary, tokenizer_model)
        (temporary / "README.md").write_text(card, encoding="utf-8")


class DemoExamples:
    """Scenes from seed ``first`` on, as captions (plain template) or conversations of one to eight questions (v1)."""

    def __init__(
        self, config: MobileVLMConfig, tokenizer: Tokenizer, template: TemplateName, first: int, count: int
    ) -> None:
        self.config, self.tokenizer, self.template = config, tokenizer, template
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def lengths(self) -> list[int]:
        """All zero: scenes are drawn on access."""
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
        tokens = tokenize(self.tokenizer, TrainingSample(str(seed), tuple(turns)), self.template, 400)
        return preprocess(image, self.config), tokens


def initialize(model: MobileVLM) -> None:
    """Small normal weights for the parts that are trained from scratch."""
    for part in (model.vision_encoder.projector, model.token_embedding, model.text_decoder):
        for module in part.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.04)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def held_out(
    count: int, *, camera: bool, config: MobileVLMConfig = DEMO_CONFIG
) -> Iterator[tuple[Tensor, str, str, str]]:
    """``count`` held-out questions, two per scene: pixels uint8 [3, S, S], question, answer, kind."""
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
) -> Accuracy:
    """Correct answers and questions by kind, over ``count`` held-out questions, answered greedily."""
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
