"""A bundle carries what each stage gave when it was made, and any machine can check itself against that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import zip_bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.errors import CaptureError, RunnerError
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.records.golden import check_golden, export_with_golden, read_golden, remake_golden
from mobilevlm_host.records.record import pixels_sha256


@pytest.fixture(scope="module")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Bundle:
    output = tmp_path_factory.mktemp("golden") / "tiny.mvlm"
    return export_with_golden(ExportJob(tiny_checkpoint, output, RECIPES["fp32"]))


@pytest.fixture
def copy(golden_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden_bundle.path, tmp_path / "copy.mvlm"))


def test_the_records_match_the_eager_model(golden_bundle: Bundle, tiny_checkpoint: Path) -> None:
    model = load_checkpoint(tiny_checkpoint)
    golden = read_golden(golden_bundle)
    assert len(golden) == 3
    assert len({picture.size for _, picture, _ in golden}) == 3  # a square, a wide and a tall one
    for _, picture, record in golden:
        pixels = preprocess(picture, model.config)
        assert record.pixels_sha256 == pixels_sha256(pixels)
        embeds = model.embed([record.ids_before_image, pixels, record.ids_after_image])
        assert record.image_embedding.shape == (1, 4, 96)
        assert record.image_embedding.norm == pytest.approx(float(model.vision_encoder(pixels[None]).norm()), rel=1e-4)
        model.text_decoder.setup_cache()
        logits = model.text_decoder(embeds, torch.tensor([0]))[0, -1]
        assert record.first_logits.token_ids[0] == int(logits.argmax())
        assert list(record.first_logits.values) == pytest.approx(logits.topk(10).values.tolist(), rel=1e-3)
        assert record.answer_ids == tuple(
            model.generate([record.ids_before_image, pixels, record.ids_after_image], record.max_new_tokens)
        )


def test_a_sound_machine_passes(golden_bundle: Bundle) -> None:
    replays = check_golden(golden_bundle)
    assert [replay.differs for replay in replays.values()] == ["none"] * 3
    listed = {entry.path for entry in golden_bundle.manifest.files}
    assert {"golden/golden.json", *(f"golden/{name}" for name in replays)} <= listed


@pytest.mark.parametrize(
    ("field", "value", "stage"),
    [
        ("pixels_sha256", "0" * 64, "preprocessing"),
        ("ids_after_image", [13, 5], "tokenizer"),
        ("ids_before_image", [2, 5], "tokenizer"),
        ("image_embedding", {"shape": [1, 4, 96], "norm": 1.0, "values": [1.0] * 64}, "vision encoder"),
        ("image_embedding", {"shape": [1, 4, 95], "norm": 1.0, "values": [1.0] * 64}, "vision encoder"),
        ("first_logits", {"token_ids": [3, 4, 5], "values": [9.0, 1.0, 0.0]}, "decoder"),
        ("answer_ids", [7, 8, 9], "decoder"),
    ],
)
def test_each_stage_that_differs_is_named(copy: Path, field: str, value: object, stage: str) -> None:
    index = copy / "golden" / "golden.json"
    values = json.loads(index.read_text())
    values["records"][1][field] = value
    index.write_text(json.dumps(values))
    replays = check_golden(_unverified(copy))
    assert replays["three-things.png"].differs == stage
    assert replays["word-and-shapes.png"].differs == "none"


def _unverified(folder: Path) -> Bundle:
    return Bundle(folder, read_manifest(folder / MANIFEST))


def test_records_are_remade_in_place(golden_bundle: Bundle, copy: Path) -> None:
    (copy / "golden" / "golden.json").write_text("{}")
    with pytest.raises(CaptureError, match=r"golden\.json: records: got None, expected a list"):
        read_golden(_unverified(copy))
    remade = Path(shutil.copytree(golden_bundle.path, copy.with_name("remade.mvlm")))
    shutil.rmtree(remade / "golden")
    values = json.loads((remade / MANIFEST).read_text())
    values["files"] = [entry for entry in values["files"] if not entry["path"].startswith("golden/")]
    (remade / MANIFEST).write_text(json.dumps(values))
    with Bundle.open(remade) as opened, pytest.raises(CaptureError, match="make them: mvlm golden"):
        read_golden(opened)
    remake_golden(remade)
    assert Bundle.open(remade).manifest == golden_bundle.manifest


def test_a_zipped_bundle_is_checked_like_its_folder(golden_bundle: Bundle, tmp_path: Path) -> None:
    zipped = tmp_path / "golden.mvlm.zip"
    zip_bundle(golden_bundle.path, zipped)
    done = CliRunner().invoke(main, ["golden", str(zipped), "--check"])
    assert done.exit_code == 0, done.stderr


def test_a_context_without_room_for_an_answer_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    job = ExportJob(tiny_checkpoint, tmp_path / "short.mvlm", RECIPES["fp32"], backends=("coreml",), max_context=64)
    with pytest.raises(RunnerError, match="context: got 64 tokens, expected at least"):
        export_with_golden(job)
    assert list(tmp_path.iterdir()) == []
