"""Fixtures: generated models, tokenizers and bundles, small enough to run in milliseconds."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, running_hub
from filelock import FileLock
from markers import add_markers, only_marked_exports
from tiny import VOCAB_SIZE, random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.built_in import DEMO
from mobilevlm_export.demo.model import write_tokenizer
from mobilevlm_export.job import BACKENDS, ExportJob
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


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """The folder of a name that a function fills, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder = root / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                filled = tmp_path_factory.mktemp(name)
                fill(filled)
                filled.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_tokenizer_model(made_once: MadeOnce) -> Path:
    """A LLaMA-like SentencePiece model with the tiny model's vocabulary size, trained on the prompt and some sentences."""
    lines = [
        prompt.SYSTEM,
        prompt.prefix(),
        prompt.after_image("What is this?"),
        "a red circle and 2 blue squares",
    ] * 20
    path = made_once("tokenizer", lambda folder: write_tokenizer(folder / "tokenizer.model", lines, VOCAB_SIZE))
    assert Tokenizer(path / "tokenizer.model").vocab_size == VOCAB_SIZE
    return path / "tokenizer.model"


@pytest.fixture
def tiny_model() -> MobileVLM:
    return random_model()


@pytest.fixture(scope="session")
def tiny_checkpoint(made_once: MadeOnce, tiny_tokenizer_model: Path) -> Path:
    def save(folder: Path) -> None:
        save_checkpoint(random_model(), folder / "tiny", tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)

    return made_once("checkpoint", save) / "tiny"


@pytest.fixture(scope="session")
def demo_bundle(made_once: MadeOnce) -> Iterator[Bundle]:
    """The int4 demo for ExecuTorch with its golden records. It takes half a minute to make, so tests share it and must not change it."""

    def export(folder: Path) -> None:
        export_with_golden(ExportJob(DEMO, folder / "demo.mvlm", RECIPES["int4"])).close()

    with Bundle.open(made_once("demo", export) / "demo.mvlm") as bundle:
        yield bundle


@pytest.fixture(scope="session")
def demo_for_all_backends(made_once: MadeOnce) -> Iterator[Bundle]:
    """The demo for every backend in int4 without calibration, with ExecuTorch's golden records."""

    def export(folder: Path) -> None:
        job = ExportJob(DEMO, folder / "demo.mvlm", RECIPES["int4"], backends=BACKENDS, calibration="none")
        export_with_golden(job).close()

    with Bundle.open(made_once("demo-all", export) / "demo.mvlm") as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_coreml_bundle(made_once: MadeOnce, tiny_checkpoint: Path) -> Iterator[Bundle]:
    """The tiny checkpoint exported for Core ML only."""

    def export(folder: Path) -> None:
        job = ExportJob(tiny_checkpoint, folder / "tiny-coreml.mvlm", RECIPES["fp32"], backends=("coreml",))
        export_bundle(job).close()

    with Bundle.open(made_once("coreml", export) / "tiny-coreml.mvlm") as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_coreai_bundle(made_once: MadeOnce, tiny_checkpoint: Path) -> Iterator[Bundle]:
    """The tiny checkpoint exported for Core AI only, in int4 without calibration: its programs are float16."""

    def export(folder: Path) -> None:
        job = ExportJob(
            tiny_checkpoint, folder / "tiny-coreai.mvlm", RECIPES["int4"], backends=("coreai",), calibration="none"
        )
        export_bundle(job).close()

    with Bundle.open(made_once("coreai", export) / "tiny-coreai.mvlm") as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_bundle(made_once: MadeOnce, tiny_checkpoint: Path) -> Iterator[Bundle]:
    """The tiny checkpoint exported in fp32: its answers are the eager model's."""

    def export(folder: Path) -> None:
        export_bundle(ExportJob(tiny_checkpoint, folder / "tiny.mvlm", RECIPES["fp32"], zipped=True)).close()

    with Bundle.open(made_once("executorch", export) / "tiny.mvlm") as bundle:
        yield bundle


@pytest.fixture(scope="session")
def tiny_zip(tiny_bundle: Bundle) -> bytes:
    """The file of the tiny bundle."""
    return tiny_bundle.path.with_name(f"{tiny_bundle.path.name}.zip").read_bytes()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on this machine, which is used instead of the real one."""
    with running_hub(monkeypatch) as hub:
        yield hub
