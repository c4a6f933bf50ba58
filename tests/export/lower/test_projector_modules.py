"""Every projector is lowered whole, quantized as in the recipe, and computes what the eager model does, for both backends."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import random_model

from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the packages' own, while they are imported
    import executorch.kernels.quantized
    from executorch.runtime import Runtime

    from mobilevlm_export.lower.coreml import lower_coreml
    from mobilevlm_export.lower.executorch import lower_executorch

assert executorch.kernels.quantized  # registers the embedding's kernels

# Of the projector: linears, depthwise convolutions, and the linears that are means.
CONTENTS = {"ldpnet": (8, 2, 10), "mlp2x_gelu": (2, 0, 0), "linear": (1, 0, 0)}
VISION_LAYERS = 2


@pytest.mark.parametrize(("projector_type", "recipe"), [("ldpnet", "fp32"), ("ldpnet", "int8"), ("linear", "fp32")])
def test_the_whole_encoder_is_one_delegate_and_equals_eager(tmp_path: Path, projector_type: str, recipe: str) -> None:
    model = random_model(projector_type=projector_type)
    quantize(model, RECIPES[recipe])
    info = lower_executorch(model, RECIPES[recipe], tmp_path / "model.pte")
    linears, depthwise, means = CONTENTS[projector_type]
    made = info.methods["vision_encoder"]
    assert made.delegates == 1
    assert made.outside == {"_to_copy": 1}
    assert made.delegated["linear"] == 6 * VISION_LAYERS + 2 * (2 * VISION_LAYERS + 1) + linears + means
    assert made.delegated["convolution"] == 1 + depthwise
    assert made.quantized_linears == (0 if recipe == "fp32" else 6 * VISION_LAYERS + linears)
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    outputs: Any = Runtime.get().load_program(info.file).load_method("vision_encoder").execute((pixels,))
    expected = model.vision_encoder(pixels)
    assert outputs[0].shape == expected.shape == (1, model.config.image_tokens, 96)
    error = (outputs[0] - expected).pow(2).mean() / expected.pow(2).mean()
    # A last bit can round an activation to the next of 256 steps.
    assert float(error) < (1e-10 if recipe == "fp32" else 1e-3)


@pytest.mark.parametrize(("projector_type", "recipe"), [("ldpnet", "int8"), ("ldpnet", "fp32"), ("mlp2x_gelu", "int4")])
def test_core_ml_has_every_operator(tmp_path: Path, projector_type: str, recipe: str) -> None:
    model = random_model(projector_type=projector_type)
    quantize(model, RECIPES[recipe])
    made = lower_coreml(model, RECIPES[recipe], tmp_path).functions["vision_encoder"]["main"]
    linears, depthwise, means = CONTENTS[projector_type]
    assert sum(made.linears.values()) == 6 * VISION_LAYERS + linears
    assert made.operators["conv"] == 1 + depthwise
    assert made.operators.get("reduce_mean", 0) == means // 5
