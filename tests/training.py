"""Fixtures of the training tests: a tiny generated tokenizer, checkpoint and data set."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
import torch
from PIL import Image

from mobilevlm_export import prompt
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.train_demo import initialize

COLORS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 200), "black": (10, 10, 10)}


@pytest.fixture(scope="session")
def tokenizer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [prompt.prefix(), prompt.follow_up("What color is it?"), prompt.after_image("Is it red?").strip()]
    lines += [f"It is {color}." for color in COLORS]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20),
        model_writer=model,
        model_type="bpe",
        vocab_size=360,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_model: Path) -> Tokenizer:
    return Tokenizer(tokenizer_model)


@pytest.fixture(scope="session")
def small_config(tokenizer: Tokenizer) -> MobileVLMConfig:
    tiny = MobileVLMConfig.tiny()
    return replace(tiny, llm=replace(tiny.llm, vocab_size=tokenizer.vocab_size))


@pytest.fixture
def model(small_config: MobileVLMConfig) -> MobileVLM:
    torch.manual_seed(5)
    model = MobileVLM(small_config)
    initialize(model)
    return model


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, color in COLORS.items():
        Image.new("RGB", (60, 40), color).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven samples in LLaVA's format: images with one or two turns, and one of text only."""
    ask = {"from": "human", "value": "<image>\nWhat color is it?"}
    entries: list[dict[str, object]] = [
        {"image": f"{color}.png", "conversations": [ask, {"from": "gpt", "value": f"It is {color}."}]}
        for color in COLORS
    ]
    for color in ("red", "blue"):
        more = [{"from": "human", "value": "Is it red?"}, {"from": "gpt", "value": "yes" if color == "red" else "no"}]
        first = [ask, {"from": "gpt", "value": f"It is {color}."}]
        entries.append({"image": f"{color}.png", "conversations": first + more})
    text = [{"from": "human", "value": "What color is it?"}, {"from": "gpt", "value": "It is red."}]
    entries.append({"conversations": text})
    path = tmp_path_factory.mktemp("data") / "data.json"
    path.write_text(json.dumps(entries))
    return path


@pytest.fixture
def checkpoint(model: MobileVLM, tokenizer_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "start"
    save_checkpoint(model, folder, tokenizer_model=tokenizer_model, dtype=torch.float32)
    return folder
