"""A model with more rows than the tokenizer has pieces never says one of them, whatever computes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY, VOCAB_SIZE, random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.job import ExportJob
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.conversation import Conversation, ModelSpec
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.engines.torch_methods import TorchMethods
from mobilevlm_host.parity.run_sample import greedy_run

_QUESTION, _NEW = "What is this?", 12


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_model: Path) -> Path:
    """The tiny model with a dozen rows more, which always win."""
    model = MobileVLM(replace(TINY, llm=replace(TINY.llm, vocab_size=VOCAB_SIZE + 12))).eval().requires_grad_(False)
    for name, parameter in random_model().named_parameters():
        model.get_parameter(name)[: len(parameter)] = parameter
    head = model.text_decoder.lm_head.weight
    head[VOCAB_SIZE:] = 30 * torch.randn(12, head.shape[1], generator=torch.Generator().manual_seed(3))
    folder = tmp_path_factory.mktemp("padded") / "checkpoint"
    save_checkpoint(model, folder, tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def expected(tiny_tokenizer_model: Path, image: Image.Image) -> str:
    """What the model without the rows says."""
    return _answer(random_model(), Tokenizer(tiny_tokenizer_model), image)


def _answer(model: MobileVLM, tokenizer: Tokenizer, image: Image.Image) -> str:
    before, after = prompt.first_turn_ids(tokenizer, _QUESTION)
    return tokenizer.decode(model.generate([before, image, after], _NEW))


def test_the_fp32_model_answers_like_the_model_without_padding_rows(
    checkpoint: Path, image: Image.Image, expected: str
) -> None:
    model = load_checkpoint(checkpoint)
    assert model.tokenizer is not None
    assert _answer(model, model.tokenizer, image) == expected
    before, after = prompt.first_turn_ids(model.tokenizer, _QUESTION)
    run = greedy_run(model, model.embed([before, image, after]), 3, _NEW)
    assert model.tokenizer.decode(run.answer) == expected
    engine = MethodsGeneration(TorchMethods(model), pieces=model.tokenizer.vocab_size, max_prefill=128)
    spec = ModelSpec(model.tokenizer, model.config, max_context=256, max_prefill=128)
    with Conversation(engine, spec) as conversation:
        assert "".join(conversation.ask(image, _QUESTION, max_new_tokens=_NEW)) == expected


@pytest.mark.parametrize("backend", ["executorch", "coreml"])
def test_a_bundle_answers_like_the_model_without_padding_rows(
    backend: str, checkpoint: Path, image: Image.Image, expected: str, tmp_path: Path
) -> None:
    job = ExportJob(checkpoint, tmp_path / "padded.mvlm", RECIPES["fp32"], backends=(backend,))
    with export_bundle(job) as bundle, Runner(Bundle(bundle.path, bundle.manifest)) as runner:
        for temperature in (0.0, 1.0):
            text = "".join(runner.ask(image, _QUESTION, max_new_tokens=_NEW, temperature=temperature))
            assert max(runner.answer.token_ids or ()) < VOCAB_SIZE
            assert temperature or text == expected
