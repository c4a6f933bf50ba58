"""Faults in bundles that were really exported, run by the real engine, are named in their own stage."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import IN_THE_MODEL, IN_THE_PROGRAM, quantized_scale_off
from noise import noise
from tiny import VOCAB_SIZE

from mobilevlm_export import pipeline, prompt
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.model import write_tokenizer
from mobilevlm_export.job import ExportJob
from mobilevlm_export.lower import executorch
from mobilevlm_export.lower.graph_checks import describe_method
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES, Recipe
from mobilevlm_export.tokenizer import make_tokenizer_json
from mobilevlm_host.parity.check import check_parity


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide picture and a tall one: both are padded."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, size in (("wide", (60, 30)), ("tall", (25, 50))):
        noise(*size).save(folder / f"{name}.png")
    return folder


def _exported(
    checkpoint: Path, output: Path, recipe: Recipe, inject: Callable[[MobileVLM], object], patch: pytest.MonkeyPatch
) -> Bundle:
    """A bundle of ``checkpoint`` whose quantized weights were spoiled before they were lowered."""

    def spoiled(model: MobileVLM, *given: Any) -> Any:
        report = quantize(model, *given)
        inject(model)
        return report

    patch.setattr(pipeline, "quantize", spoiled)
    return export_bundle(ExportJob(checkpoint, output, recipe))


# test_layers.py has layers swapped in both parts, and test_stages.py every fault with the model itself as the engine.
def test_a_fault_in_an_exported_model_is_found_where_it_is(
    tiny_checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, inject = IN_THE_MODEL["LDPv2's residual lost"]
    with _exported(tiny_checkpoint, tmp_path / "broken.mvlm", RECIPES["fp32"], inject, monkeypatch) as bundle:
        assert check_parity(tiny_checkpoint, bundle, images=pictures).first_divergence == stage


@pytest.mark.parametrize(("scheme", "factor"), [("int8", 1.05)])
def test_a_scale_that_is_off_in_an_exported_embedding_is_found(
    scheme: str, factor: float, tiny_checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, inject = replace(RECIPES["fp32"], name="table", embedding=scheme), quantized_scale_off(factor)
    with _exported(tiny_checkpoint, tmp_path / "broken.mvlm", recipe, inject, monkeypatch) as bundle:
        assert check_parity(tiny_checkpoint, bundle, images=pictures).first_divergence == "token_embedding"


@pytest.mark.parametrize("fault", IN_THE_PROGRAM)
def test_a_fault_in_an_exported_programs_kv_cache_is_found_where_it_is(
    fault: str, tiny_checkpoint: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, method = IN_THE_PROGRAM[fault]
    monkeypatch.setattr(executorch, "TextDecoderMethod", method)
    monkeypatch.setattr(executorch, "check_method", lambda _, program, __: describe_method(program))  # no refusal
    job = ExportJob(tiny_checkpoint, tmp_path / "broken.mvlm", RECIPES["fp32"])
    with export_bundle(job) as bundle:
        assert check_parity(tiny_checkpoint, bundle, images=pictures).first_divergence == stage


def _rewritten(bundle: Bundle, folder: Path, change: Callable[[Path, dict[str, Any]], object]) -> Bundle:
    """A copy of ``bundle`` after ``change`` of its files and its manifest's values, sound by its hashes."""
    shutil.copytree(bundle.path, folder)
    values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(folder, values)
    for entry in values["files"]:
        raw = (folder / entry["path"]).read_bytes()
        entry |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(values), encoding="utf-8")
    return Bundle.open(folder)


def _another_tokenizer(folder: Path, values: dict[str, Any]) -> None:
    write_tokenizer(folder / "tokenizer.model", ["of other texts it was made, but as many pieces"] * 20, VOCAB_SIZE)
    make_tokenizer_json(folder / "tokenizer.model", folder / "tokenizer.json")


def _another_file(name: str) -> Callable[[Path, dict[str, Any]], object]:
    """Only one of the two tokenizer files is another's."""

    def change(folder: Path, values: dict[str, Any]) -> None:
        kept = {file: (folder / file).read_bytes() for file in ("tokenizer.model", "tokenizer.json") if file != name}
        _another_tokenizer(folder, values)
        for file, content in kept.items():
            (folder / file).write_bytes(content)

    return change


def _set(part: str, **changes: Any) -> Callable[[Path, dict[str, Any]], object]:
    return lambda _, values: values[part].update(changes)


IN_THE_FILES = {
    "another tokenizer": ("token_ids", _another_tokenizer),
    "another tokenizer.model": ("token_ids", _another_file("tokenizer.model")),
    "another tokenizer.json": ("token_ids", _another_file("tokenizer.json")),
    "image before USER": (
        "token_ids",
        _set("prompt", before_image=prompt.SYSTEM + " ", after_image="\nUSER: {question} ASSISTANT:"),
    ),
    "no line break after the image": ("token_ids", _set("prompt", after_image="{question} ASSISTANT:")),
}


@pytest.mark.parametrize("fault", IN_THE_FILES)
def test_a_fault_in_a_bundles_files_is_found_where_it_is(
    fault: str, tiny_checkpoint: Path, tiny_bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    stage, change = IN_THE_FILES[fault]
    broken = _rewritten(tiny_bundle, tmp_path / "broken.mvlm", change)
    assert check_parity(tiny_checkpoint, broken, images=pictures).first_divergence == stage


def test_a_rewritten_bundle_without_a_fault_passes(
    tiny_checkpoint: Path, tiny_bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    sound = _rewritten(tiny_bundle, tmp_path / "sound.mvlm", lambda *_: None)
    assert check_parity(tiny_checkpoint, sound, images=pictures).first_divergence is None


def test_a_zipped_bundle_is_compared_like_its_folder(
    tiny_checkpoint: Path, tiny_bundle: Bundle, pictures: Path
) -> None:
    with Bundle.open(tiny_bundle.path.with_name("tiny.mvlm.zip")) as zipped:
        report = check_parity(tiny_checkpoint, zipped, images=pictures, layers=True)
    assert report.first_divergence is None
    assert report.layers
    assert report.subject is not None
