"""The demo's training, in tiny size; and the accuracy of the checkpoint in the repository."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mobilevlm_export
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.model import DEMO_CONFIG
from mobilevlm_export.demo.questions import KINDS
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS, TRAIN_SEEDS
from mobilevlm_export.errors import TrainError
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.contrastive import ContrastiveConfig
from mobilevlm_export.train.model_card import accuracy_rows, overall
from mobilevlm_export.train.train_demo import (
    CAPTIONS,
    QUESTIONS,
    DemoExamples,
    DemoSchedule,
    accuracy,
    held_out,
    train_demo,
)

DEMO_CHECKPOINT = Path(mobilevlm_export.__file__).parent / "demo" / "checkpoint"
_TINY = MobileVLMConfig.tiny()
SCHEDULE = DemoSchedule(
    config=replace(_TINY, llm=replace(_TINY.llm, max_position_embeddings=512)),
    tower=ContrastiveConfig(images=16, batch_size=8, embedding_size=32, workers=0),
    captions=replace(CAPTIONS, steps=2, batch_size=4, workers=0),
    questions=replace(QUESTIONS, steps=2, batch_size=4, workers=0),
    tokenizer_scenes=300,
    held_out_questions=4,
)


def test_interrupted_training_resumes(tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "v1 stage":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_demo(tmp_path / "cut", schedule=SCHEDULE, progress=interrupt)
    assert not (tmp_path / "cut").exists()
    assert (tmp_path / "cut.training" / "captions.state").is_file()
    clean, camera = train_demo(tmp_path / "cut", schedule=SCHEDULE)
    assert overall(clean)[1] == overall(camera)[1] == 4
    train_demo(tmp_path / "whole", schedule=SCHEDULE)
    cut, whole = load_checkpoint(tmp_path / "cut"), load_checkpoint(tmp_path / "whole")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(cut.state_dict()[name], tensor), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "cut.log", "whole", "whole.log"]
    card = (tmp_path / "cut" / "README.md").read_text()
    assert "| all | 0.0 % (0/4) |" in card
    with pytest.raises(TrainError, match="already exists"):
        train_demo(tmp_path / "cut", schedule=SCHEDULE)


def test_states_of_another_seed_are_refused(tmp_path: Path) -> None:
    work = tmp_path / "out.training"
    work.mkdir()
    (work / "run.txt").write_text("seed 7")
    with pytest.raises(TrainError, match="got the states of another seed or schedule"):
        train_demo(tmp_path / "out", schedule=SCHEDULE)


def test_held_out_scenes_are_never_trained_on() -> None:
    assert not set(HELD_OUT_SEEDS) & set(TRAIN_SEEDS)
    questions = [question for _, question, _, _ in held_out(10, camera=False)]
    assert len(questions) == 10


def test_examples_teach_only_the_answers(tokenizer: Tokenizer) -> None:
    pixels, tokens = DemoExamples(DEMO_CONFIG, tokenizer, "v1", 0, 10)[3]
    assert pixels is not None
    assert pixels.shape == (3, 168, 168)
    learned = [label for label in tokens.labels if label >= 0]
    assert 0 < len(learned) < len(tokens.labels) / 2
    assert learned.count(tokenizer.eos_id) >= 1


def test_rows_of_accuracy() -> None:
    rows = accuracy_rows({"yes_no": (9, 10), "color": (10, 10)}, {"color": (1, 4)})
    assert rows == [
        ("color", "100.0 % (10/10)", "25.0 % (1/4)"),
        ("yes/no", "90.0 % (9/10)", "-"),
        ("all", "95.0 % (19/20)", "25.0 % (1/4)"),
    ]


def test_the_checkpoint_reaches_the_accuracy_on_its_card() -> None:
    tokenizer = Tokenizer(DEMO_CHECKPOINT / "tokenizer.model")
    card = (DEMO_CHECKPOINT / "README.md").read_text()
    stated = {row[0]: float(row[1]) for row in re.findall(r"\| ([a-z/]+) \| ([0-9.]+) % ", card)}
    assert len(stated) == len(KINDS) + 1
    assert stated["all"] >= 90
    assert min(stated.values()) >= 75
    right, asked = overall(accuracy(load_checkpoint(DEMO_CHECKPOINT), tokenizer, 100))
    assert right >= 90
    assert asked == 100
    assert 100 * right / asked == pytest.approx(stated["all"], abs=6)  # 100 questions are a small sample
