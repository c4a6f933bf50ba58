"""The manifest of an export for Core ML."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export import pipeline
from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError, LoweringError
from mobilevlm_export.job import ExportJob
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle, exported
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.quantize.report import QuantizeReport

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # coremltools' own, while it is imported
    import coremltools as ct


@pytest.fixture(scope="module")
def coreml(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[Bundle]:
    output = tmp_path_factory.mktemp("coreml") / "tiny.mvlm"
    job = ExportJob(tiny_checkpoint, output, backends=("coreml",), coreml_cache_update="one-hot", max_context=200)
    with export_bundle(job) as bundle:
        yield bundle


def test_a_core_ml_manifest_has_what_the_app_needs(coreml: Bundle) -> None:
    values = coreml.manifest.values
    [(backend, artifact)] = values["artifacts"].items()
    assert backend == "coreml"
    assert values["context"] == {"max_context": 200, "max_prefill": 200}
    assert artifact["prefill_chunk"] == 64
    assert artifact["cache_positions"] == 288  # 200 + 63, rounded up to a multiple of 32
    assert artifact["cache_update"] == "one-hot"
    assert artifact["compute_units"] == "cpuAndGPU"
    assert set(artifact["text_decoder"]["functions"]) == {"prefill", "decode"}
    assert set(artifact["vision_encoder"]["functions"]) == {"main"}
    assert artifact["token_embedding"] == {"file": "token_embedding.safetensors", "form": "int8"}
    assert values["memory"] == artifact["memory"]
    assert values["memory"]["kv_cache"] == artifact["kv_cache_bytes"] == 2 * 2 * 2 * 288 * 96
    assert values["memory"]["bytes"] == sum(values["memory"][key] for key in ("program", "kv_cache", "activations"))


def test_every_file_of_a_package_has_its_hash(coreml: Bundle) -> None:
    listed = {entry.path for entry in coreml.manifest.files}
    inside = "Data/com.apple.CoreML"
    for package in ("vision_encoder.mlpackage", "text_decoder.mlpackage"):
        files = ("Manifest.json", f"{inside}/model.mlmodel", f"{inside}/weights/weight.bin")
        assert {f"{package}/{file}" for file in files} <= listed
    # The libraries that write weights let only their owner read them.
    rights = (coreml.path / MANIFEST).stat().st_mode
    assert {(coreml.path / name).stat().st_mode for name in listed} == {rights}


def test_the_packages_name_their_checkpoint(coreml: Bundle) -> None:
    facts = ct.utils.load_spec(str(coreml.path / "text_decoder.mlpackage")).description.metadata.userDefined
    assert facts["org.mobilevlm.source_sha256"] == coreml.manifest.source_sha256


@pytest.mark.parametrize(("part", "key"), [("text_decoder", "package"), ("token_embedding", "file")])
def test_a_part_without_its_hash_is_refused(coreml: Bundle, tmp_path: Path, part: str, key: str) -> None:
    values: dict[str, Any] = json.loads((coreml.path / MANIFEST).read_text())
    values["artifacts"]["coreml"][part][key] = "another"
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(BundleError, match=rf"artifacts\.coreml\.{part}: got 'another.*', which is not in files"):
        read_manifest(tmp_path / MANIFEST)


@pytest.mark.parametrize(("backends", "got"), [(("coreml", "tflite"), "'tflite'"), ((), "none")])
def test_an_unknown_backend_is_refused(tmp_path: Path, backends: tuple[str, ...], got: str) -> None:
    with pytest.raises(LoweringError, match=f"backend: got {got}, expected executorch or coreml"):
        ExportJob(tmp_path, tmp_path / "x.mvlm", backends=backends)


def test_a_failed_core_ml_export_leaves_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    job = ExportJob(tmp_path / "checkpoint", tmp_path / "x.mvlm", backends=("coreml",), coreml_cache_update="scatter")
    with pytest.raises(LoweringError, match="cache_update: got 'scatter'"):
        export_bundle(job)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_context": 9999}, "max_context: got 9999, expected more than the 4 tokens of an image and at most"),
        ({"backends": ("coreml",), "coreml_cache_update": "scatter"}, "cache_update: got 'scatter'"),
        ({"backends": ("coreai",), "max_context": 2048}, "max_context: got 2048, expected at most 2015 with Core AI"),
    ],
)
def test_settings_are_checked_before_the_weights_are_read(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    monkeypatch.setattr(pipeline, "checkpoint_sha256", lambda *_: pytest.fail("hashed the weights"))
    with pytest.raises(LoweringError, match=said):
        export_bundle(ExportJob(checkpoint, tmp_path / "x.mvlm", **settings))


def test_a_recipe_that_core_ml_cannot_have_is_refused_before_calibration(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPES["int4"], llm_layers="0-0=fp32")
    monkeypatch.setattr(pipeline, "_calibration", lambda *_: pytest.fail("calibrated"))
    with pytest.raises(LoweringError, match=r"llm\.layers\.0\..*: got fp32 in a part that is int4"):
        export_bundle(ExportJob(tiny_checkpoint, tmp_path / "x.mvlm", recipe, backends=("executorch", "coreml")))


_EXPORT = """
import sys
from pathlib import Path
from mobilevlm_export import ExportJob, export_bundle
from mobilevlm_export.quantize.recipe import RECIPES

checkpoint, output = map(Path, sys.argv[1:])
export_bundle(ExportJob(checkpoint, output, RECIPES["int8"], backends=("executorch", "coreml"), zipped=True))
"""


@pytest.mark.export
@pytest.mark.thorough
def test_two_exports_are_equal_to_the_byte(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Of the same checkpoint by the same versions, each in a process of its own, wherever they are written."""
    archives = []
    for folder in (tmp_path / "a", tmp_path / "another"):
        command = [sys.executable, "-c", _EXPORT, str(tiny_checkpoint), str(folder / "x.mvlm")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        archives.append((folder / "x.mvlm.zip").read_bytes())
    assert archives[0] == archives[1]


def test_weights_are_freed_before_the_bundle_is_run(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core ML programs hold weights in reference cycles, and an engine needs the same amount again."""
    weights: list[weakref.ref[Any]] = []

    def quantize_watched(model: MobileVLM, *arguments: Any) -> QuantizeReport:
        report = quantize(model, *arguments)
        weights.extend(weakref.ref(layer.mlp.up_proj.weight.qdata) for layer in model.text_decoder.layers)
        assert all(weight() is not None for weight in weights)
        return report

    monkeypatch.setattr("mobilevlm_export.pipeline.quantize", quantize_watched)
    gc.disable()  # it would find them sooner or later by itself
    try:
        with exported(ExportJob(tiny_checkpoint, tmp_path / "x.mvlm", backends=("coreml",))) as bundle:
            assert weights
            assert all(weight() is None for weight in weights)
            assert bundle.artifact("coreml").exists()
    finally:
        gc.enable()


def test_missing_core_ml_tools_are_reported_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    job = ExportJob(tmp_path / "absent", tmp_path / "x.mvlm", backends=("executorch", "coreml"))
    with pytest.raises(LoweringError, match="coreml needs Core ML Tools, which is not installed"):
        export_bundle(job)
    assert list(tmp_path.iterdir()) == []
