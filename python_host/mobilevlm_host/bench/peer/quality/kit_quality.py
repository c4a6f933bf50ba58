"""How closely the kit's recipes follow the fp32 model: the quantized model in torch, whose arithmetic is that of the artifact.

Torch runs many texts at once, so 2,000 questions take a minute where the artifact, one token at a time, would take an hour.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import Tensor

from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.apply import model_parts, quantize
from mobilevlm_export.quantize.calibration import CalibrationSet, scenes
from mobilevlm_export.quantize.linear_inputs import CalibratedInputs
from mobilevlm_export.quantize.recipe import RECIPES, Recipe
from mobilevlm_export.quantize.report import shipped_bytes
from mobilevlm_host.bench.peer.quality.exam import Exam, Faithfulness, faithfulness
from mobilevlm_host.bench.peer.quality.quality_report import QualityRow

KIT = "mvlm"
_DECODER = ("embedding", "llm", "lm_head")


def kit_quality(model: MobileVLM, exam: Exam, reference: Tensor, progress: Progress = silent) -> list[QualityRow]:
    """A row for each recipe of the kit; ``reference`` are the logits of ``model``, which is fp32."""

    def judged(quantized: MobileVLM) -> Faithfulness:
        return faithfulness(exam, reference, exam.logits(quantized))

    assert model.tokenizer is not None
    calibration = scenes(model.tokenizer, model.config, progress)
    recipes = [recipe for name, recipe in RECIPES.items() if name != "fp32"]
    rows = []
    for done, recipe in enumerate(recipes):
        progress("the kit's recipes", done, len(recipes))
        decoder = _quantized(model, replace(recipe, vision="fp32", projector="fp32"), calibration)
        size, alike = _bytes(decoder, _DECODER), judged(decoder)
        whole = _quantized(model, recipe, calibration)
        rows.append(QualityRow(KIT, recipe.name, size, alike, _bytes(whole), judged(whole)))
    progress("the kit's recipes", len(recipes), len(recipes))
    return rows


def _quantized(model: MobileVLM, recipe: Recipe, calibration: CalibrationSet) -> MobileVLM:
    """A copy of ``model``, quantized as an export does it by default."""
    copied = copy.deepcopy(model)
    quantize(copied, recipe, inputs=CalibratedInputs(copied, calibration) if "int4" in recipe.linear_schemes else None)
    return copied


def _bytes(model: MobileVLM, parts: tuple[str, ...] | None = None) -> int:
    """Bytes of the weights of ``parts`` (default: all) as shipped."""
    found = model_parts(model)
    return sum(shipped_bytes(weight) for name in parts or found for weight in found[name].parameters())
