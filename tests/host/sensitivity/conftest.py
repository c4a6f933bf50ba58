"""The tiny model's components, and results in a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize import calibration
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.sensitivity.components import Components
from mobilevlm_host.sensitivity.data_path import Asked
from mobilevlm_host.sensitivity.fp32_answers import Fp32Answers, asked


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "MOST_IMAGES", 2)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> MobileVLM:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def parts(model: MobileVLM) -> Components:
    return Components(model, lambda copied, recipe: quantize(copied, recipe))


@pytest.fixture(scope="module")
def questions(model: MobileVLM, tiny_checkpoint: Path) -> list[Asked]:
    tokenizer = Tokenizer(tiny_checkpoint / "tokenizer.model")
    shown = [
        Sample(color, Image.new("RGB", (80, 60), color), question)
        for color, question in (("red", "What is this?"), ("navy", "What is this, and what is that?"), ("tan", "What?"))
    ]
    answers = Fp32Answers(model, tokenizer).ask(shown)
    return [asked(model, tokenizer, *each) for each in zip(shown, answers, strict=True)]
