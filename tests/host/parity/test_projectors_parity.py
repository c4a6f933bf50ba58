"""Bundles of the first MobileVLM and of LLaVA-1.5: both backends, golden records, parity by stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import random_model

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.job import ExportJob
from mobilevlm_export.quantize import calibration
from mobilevlm_export.quantize.recipe import make_recipe
from mobilevlm_host.parity.check import check_parity
from mobilevlm_host.records.golden import check_golden, export_with_golden

TOKENS = {"ldpnet": 4, "mlp2x_gelu": 16}
UNQUANTIZED = {
    # Of 24 inputs, which are no whole group of int4's.
    "ldpnet": {"depthwise weight", "LayerNorm weight", "LayerNorm bias", "Linear bias"}
    | {f"{block}.excite.fc2.weight" for block in ("mix", "reduce")},
    "mlp2x_gelu": {"Linear bias"},
}


@pytest.fixture(scope="module", params=TOKENS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_model: Path
) -> Iterator[tuple[Path, Bundle]]:
    """The checkpoint and its bundle."""
    folder = tmp_path_factory.mktemp(request.param)
    model = random_model(projector_type=request.param)
    save_checkpoint(model, folder / "checkpoint", tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "MOST_IMAGES", 2)
        recipe = make_recipe("fp32", projector="int4")  # its weights are fitted to the calibration's features
        job = ExportJob(folder / "checkpoint", folder / "tiny.mvlm", recipe, backends=("executorch", "coreml"))
        export_with_golden(job).close()
    with Bundle.open(folder / "tiny.mvlm") as bundle:
        yield folder / "checkpoint", bundle


def test_the_manifest_has_the_projector_and_its_tokens(exported: tuple[Path, Bundle]) -> None:
    values = exported[1].manifest.values
    projector_type = values["model"]["mm_projector_type"]
    assert values["image"]["tokens"] == TOKENS[projector_type]
    left = [each for each in values["quantization"]["unquantized"] if each["component"] == "projector"]
    assert {each["what"] for each in left} == UNQUANTIZED[projector_type]


@pytest.mark.parametrize("backend", ["executorch", "coreml"])
def test_every_stage_up_to_decode_is_within_its_limits(
    exported: tuple[Path, Bundle], tmp_path: Path, backend: str
) -> None:
    Image.effect_mandelbrot((80, 60), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(tmp_path / "a.png")
    report = check_parity(*exported, images=tmp_path, backend=backend)
    # An answer depends on the rounded projector, and random weights have near ties.
    assert report.first_divergence in (None, "answer")


def test_golden_records_are_reproduced(exported: tuple[Path, Bundle]) -> None:
    assert {replay.differs for replay in check_golden(exported[1]).values()} == {"none"}
