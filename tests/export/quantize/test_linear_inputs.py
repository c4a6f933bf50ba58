"""Calibrated weights are fitted to the inputs of their linears, behind everything that is already quantized."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import random_model
from torch import Tensor, nn

from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import model_parts, quantizable, quantize
from mobilevlm_export.quantize.calibration import CalibrationSet, CalibrationText, scenes
from mobilevlm_export.quantize.linear_inputs import CalibratedInputs
from mobilevlm_export.quantize.recipe import RECIPES, make_recipe
from mobilevlm_export.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model() -> MobileVLM:
    return random_model()


@pytest.fixture(scope="module")
def texts(model: MobileVLM, tiny_tokenizer_model: Path) -> CalibrationSet:
    found = scenes(Tokenizer(tiny_tokenizer_model), model.config)
    return CalibrationSet(found.description, found.texts[:12])


def _embeddings(model: MobileVLM, text: CalibrationText) -> Tensor:
    return model.embed([text.before, text.pixels, text.after])


@pytest.mark.parametrize("part", ["vision", "projector", "llm", "lm_head"])
def test_calibration_brings_each_part_closer_to_fp32(model: MobileVLM, texts: CalibrationSet, part: str) -> None:
    text = texts.texts[0]

    def output(quantized: MobileVLM) -> Tensor:
        if part == "vision":
            return quantized.vision_features(text.pixels[None])
        if part == "projector":
            return quantized.vision_encoder(text.pixels[None])
        states = quantized.text_decoder.hidden_states(_embeddings(model, text))
        return quantized.text_decoder.lm_head(states) if part == "lm_head" else states

    errors, recipe = {}, make_recipe("fp32", **({"lm_head": "fp32"} | {part: "int4"}))
    for calibrated in (False, True):
        quantized = copy.deepcopy(model)
        report = quantize(quantized, recipe, inputs=CalibratedInputs(quantized, texts) if calibrated else None)
        errors[calibrated] = float((output(quantized) - output(model)).square().mean())
        scheme = next(component.scheme for component in report.components if component.component == part)
        assert scheme.endswith(", calibrated") == calibrated
        assert report.to_json().get("calibration", "") == (texts.description if calibrated else "")
    assert errors[True] < 0.85 * errors[False]


def _hooked(model: MobileVLM, linear: nn.Module, run: Callable[[], object]) -> list[Tensor]:
    seen: list[Tensor] = []
    hook = linear.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2)))
    run()
    hook.remove()
    return seen


@torch.inference_mode()
def test_every_linears_inputs_are_those_of_the_model(model: MobileVLM, texts: CalibrationSet) -> None:
    """Asked in the order of the data path; image tokens count as much in all as the text's."""
    inputs, embed_tokens = CalibratedInputs(model, texts), model.config.image_tokens
    images = len(texts.texts) * embed_tokens
    others = sum(len(text.before) + len(text.after) for text in texts.texts)
    half = (images + others) / 2
    for part in ("vision", "projector", "llm", "lm_head"):
        for path, linear in quantizable(model_parts(model)[part]):
            expected = torch.zeros(linear.weight.shape[1], linear.weight.shape[1])
            for text in texts.texts:
                [rows] = _hooked(
                    model,
                    linear,
                    lambda text=text: model.text_decoder(_embeddings(model, text)),
                )
                weights = torch.ones(len(rows))
                if part in ("llm", "lm_head"):
                    weights *= half / others
                    weights[len(text.before) : len(text.before) + embed_tokens] = half / images
                expected += rows.T @ (rows * weights[:, None])
            torch.testing.assert_close(inputs.hessian(part, path), expected, rtol=1e-3, atol=1e-2, msg=f"{part} {path}")


@torch.inference_mode()
def test_later_layers_see_the_errors_of_the_quantized_ones_before(model: MobileVLM, texts: CalibrationSet) -> None:
    quantized = copy.deepcopy(model)
    inputs = CalibratedInputs(quantized, texts)
    seen: dict[str, Tensor] = {}

    class Recorded:
        description = texts.description

        def hessian(self, part: str, path: str) -> Tensor:
            seen[f"{part}.{path}"] = inputs.hessian(part, path)
            return seen[f"{part}.{path}"]

    quantize(quantized, RECIPES["int4-all"], inputs=Recorded())
    last = "llm.layers.1.mlp.down_proj"
    plain = CalibratedInputs(copy.deepcopy(model), texts).hessian("llm", "layers.1.mlp.down_proj")
    rows = torch.cat(
        [
            torch.cat(
                _hooked(
                    quantized,
                    quantized.text_decoder.layers[1].mlp.down_proj,
                    lambda t=t: quantized.text_decoder(_embeddings(quantized, t)),
                )
            )  # type: ignore[union-attr, arg-type]
            for t in texts.texts
        ]
    )
    assert seen[last].trace() == pytest.approx(float(rows.square().sum()), rel=0.2)
    assert not torch.allclose(seen[last], plain, rtol=1e-3)
    assert len(seen) == sum(
        isinstance(module, nn.Linear)
        for name in ("vision", "projector", "llm", "lm_head")
        for _, module in quantizable(model_parts(model)[name])
    )


def test_only_int4_linears_are_calibrated(model: MobileVLM, texts: CalibrationSet) -> None:
    class Refused:
        description = texts.description

        def hessian(self, part: str, path: str) -> Tensor:
            raise AssertionError(f"{part} {path}")

    quantize(copy.deepcopy(model), make_recipe("int8", embedding="int4"), inputs=Refused())
