"""Fixtures: generated models, tokenizers and bundles, small enough to run in milliseconds."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from markers import add_markers, only_marked_exports
from tiny import VOCAB_SIZE, random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.built_in import DEMO
from mobilevlm_export.demo.model import write_tokenizer
from mobilevlm_export.job import ExportJob
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.records.golden import export_with_golden


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        add_markers(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with only_marked_exports(item):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage() -> None:
    """Every collection, of which an export has hundreds, would look through all that torch and Core ML Tools have loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tiny_config() -> MobileVLMConfig:
    return MobileVLMConfig.tiny()


@pytest.fixture(scope="session")
def tiny_tokenizer_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA-like SentencePiece model with the tiny model's vocabulary size, trained on the prompt and some sentences."""
    lines = [
        prompt.SYSTEM,
        prompt.prefix(),
        prompt.after_image("What is this?"),
        "a red circle and 2 blue squares",
    ] * 20
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    write_tokenizer(path, lines, VOCAB_SIZE)
    assert Tokenizer(path).vocab_size == VOCAB_SIZE
    return path


@pytest.fixture
def tiny_model() -> MobileVLM:
    return random_model()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(random_model(), folder, tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    return folder


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """The int4 demo for ExecuTorch with its golden records. It takes half a minute to make, so tests share it and must not change it."""
    output = tmp_path_factory.mktemp("demo") / "demo.mvlm"
    with export_with_golden(ExportJob(DEMO, output, RECIPES["int4"])) as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_coreml_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Bundle]:
    """The tiny checkpoint exported for Core ML only."""
    output = tmp_path_factory.mktemp("bundle") / "tiny-coreml.mvlm"
    with export_bundle(ExportJob(tiny_checkpoint, output, RECIPES["fp32"], backends=("coreml",))) as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Bundle]:
    """The tiny checkpoint exported in fp32: its answers are the eager model's."""
    output = tmp_path_factory.mktemp("bundle") / "tiny.mvlm"
    with export_bundle(ExportJob(tiny_checkpoint, output, RECIPES["fp32"], zipped=True)) as bundle:
        yield bundle
