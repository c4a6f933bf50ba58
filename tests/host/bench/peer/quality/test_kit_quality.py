"""Each of the kit's recipes takes the exam, the decoder alone and the whole model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import random_model

from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize import calibration
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES, Recipe
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.quality import exam as exams
from mobilevlm_host.bench.peer.quality import kit_quality as quality
from mobilevlm_host.bench.peer.quality.exam import held_out_exam
from mobilevlm_host.bench.peer.quality.kit_quality import kit_quality
from mobilevlm_host.bench.peer.quality.quality_report import QualityRow


@pytest.fixture(scope="module")
def quantized_with() -> list[Recipe]:
    """The recipes that ``rows`` quantizes with, in order."""
    return []


@pytest.fixture(scope="module")
def rows(tiny_tokenizer_model: Path, quantized_with: list[Recipe]) -> dict[str, QualityRow]:
    model = random_model()
    model.tokenizer = Tokenizer(tiny_tokenizer_model)

    def record(copied: MobileVLM, recipe: Recipe, **given: Any) -> Any:
        quantized_with.append(recipe)
        return quantize(copied, recipe, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exams, "_MAX_NEW_TOKENS", 5)
        patch.setattr(calibration, "MOST_IMAGES", 4)
        patch.setattr(quality, "quantize", record)
        exam = held_out_exam(model, model.tokenizer, 4)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        found = kit_quality(model, exam, exam.logits(model))
    assert all(bool((weight == before[name]).all()) for name, weight in model.state_dict().items())
    return {row.name: row for row in found}


def test_every_recipe_takes_the_exam(rows: dict[str, QualityRow]) -> None:
    assert list(rows) == [name for name in RECIPES if name != "fp32"]
    assert all(row.decoder.questions == row.model.questions == 4 for row in rows.values())
    assert rows["int8"].decoder.mean_kl < rows["int4"].decoder.mean_kl
    assert rows["int8"].model.mean_kl < rows["int4-all"].model.mean_kl


def test_the_decoder_takes_the_exam_with_an_fp32_encoder(
    rows: dict[str, QualityRow], quantized_with: list[Recipe]
) -> None:
    expected = [
        recipe for name in rows for recipe in (replace(RECIPES[name], vision="fp32", projector="fp32"), RECIPES[name])
    ]
    assert quantized_with == expected


def test_bytes_are_those_of_the_weights_as_shipped(
    rows: dict[str, QualityRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model()
    fp32 = quality._bytes(model)
    assert fp32 == 4 * sum(weight.numel() for weight in model.parameters())
    decoder = [*model.token_embedding.parameters(), *model.text_decoder.parameters()]
    assert quality._bytes(model, quality._DECODER) == 4 * sum(weight.numel() for weight in decoder)
    assert rows["int4-all"].model_bytes < rows["int4"].model_bytes < rows["int8"].model_bytes < fp32 / 2
    assert all(row.decoder_bytes < row.model_bytes for row in rows.values())
