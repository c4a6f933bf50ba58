"""A checkpoint whose tokenizer is not ``legacy``: its bundle asks follow-ups as it does, in ids and, as phones do, in texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytorch_tokenizers import CppHFTokenizer

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.prompt import Turn
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.ask.runner import Runner

QUESTIONS = ("What is this?", "How many?", "Why 2 squares?")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    folder = tmp_path_factory.mktemp("legacy") / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"legacy": False}))
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Iterator[Bundle]:
    job = ExportJob(checkpoint, checkpoint.with_name("a.mvlm"), RECIPES["fp32"], backends=("coreml",))
    with export_bundle(job) as bundle:  # for Core ML, which takes a tenth of the time
        yield bundle


def test_follow_ups_are_the_checkpoints(checkpoint: Path, bundle: Bundle) -> None:
    model, tokenizer = load_checkpoint(checkpoint), checkpoint_tokenizer(checkpoint)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8))
    before, _, after = prompt.encode_segments(tokenizer, [Turn(QUESTIONS[0])])
    assert isinstance(before, list)
    assert isinstance(after, list)
    with Runner(bundle) as runner:
        for index, question in enumerate(QUESTIONS):
            if index == 0:
                list(runner.ask(image, question, max_new_tokens=6))
            else:
                after += prompt.follow_up_ids(tokenizer, question)
                list(runner.follow_up(question, max_new_tokens=6))
            assert runner.answer.token_ids == model.generate([before, preprocess(image, model.config), after], 6)
            after += runner.answer.token_ids or []


def test_the_engines_tokenizer_gives_the_same_ids(checkpoint: Path, bundle: Bundle) -> None:
    """ExecuTorch's, which takes a text with the mark of its beginning, and one with the end of an answer in it."""
    engine = CppHFTokenizer()
    engine.load(str(bundle.tokenizer("json")))
    tokenizer, template = checkpoint_tokenizer(checkpoint), bundle.manifest.template
    before, _, after = prompt.encode_segments(tokenizer, [Turn(QUESTIONS[0], "a red circle"), Turn(QUESTIONS[1])])
    assert engine.encode(f"<s>{template.before_image}", 0, 0) == before
    said = f"{template.first(QUESTIONS[0])} a red circle{prompt.STOP_TEXT}{template.next(QUESTIONS[1])}"
    assert engine.encode(said, 0, 0) == after
