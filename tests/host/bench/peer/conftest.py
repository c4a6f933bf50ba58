"""Fixtures: a job of two prompts about two images, its answers, other checkpoints, and the fake llama.cpp."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_llama_cpp import FakeLlamaCpp
from safetensors.torch import load_file, save_file
from tiny import TINY, random_model

from mobilevlm_export import prompt
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.peer_round import Job, Prompt


@pytest.fixture
def job(tmp_path: Path, tiny_tokenizer_model: Path) -> Job:
    """Two prompts about two images."""
    side = TINY.vision.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    pixels[:, 0, 0, 0] = 1, 2
    np.save(tmp_path / "pixels.npy", pixels)
    tokenizer, before = Tokenizer(tiny_tokenizer_model), prompt.prefix()
    prompts = []
    for question in ("What is this?", "a red circle"):
        after = prompt.after_image(question)
        prompts.append(Prompt(before, [1, *tokenizer.encode(before)], after, tokenizer.encode(after)))
    return Job([], str(tmp_path / "pixels.npy"), prompts, 1, 256, 2, list(range(5, 35)))


@pytest.fixture
def expected(job: Job) -> list[list[int]]:
    """The eager model's answers to the job's prompts, at most 12 tokens each."""
    model = random_model()
    said = [
        model.generate([each.before_ids, torch.from_numpy(image).permute(2, 0, 1), each.after_ids], 12)
        for each, image in zip(job.prompts, np.load(job.pixels), strict=True)
    ]
    assert said[0] != said[1]
    return said


@pytest.fixture
def tied_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint whose head is its token embedding."""
    folder = tmp_path / "tied"
    shutil.copytree(tiny_checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    return folder


@pytest.fixture
def other_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of the same sizes with one different value."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def llama_cpp(tiny_tokenizer_model: Path) -> FakeLlamaCpp:
    return FakeLlamaCpp(Tokenizer(tiny_tokenizer_model))
