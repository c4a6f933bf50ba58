"""Calibrated weights are fitted to the outputs of the quantized layers before them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import random_model

from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.calibration import CalibrationSet, DecoderInputs, read_folder, scenes
from mobilevlm_export.quantize.recipe import RECIPES, make_recipe
from mobilevlm_export.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def model() -> MobileVLM:
    return random_model()


@pytest.fixture(scope="module")
def texts(model: MobileVLM, tiny_tokenizer_model: Path) -> CalibrationSet:
    found = scenes(Tokenizer(tiny_tokenizer_model), model.config)
    return CalibrationSet(found.description, found.texts[:12])


def test_calibrated_layers_are_closer_to_fp32(model: MobileVLM, texts: CalibrationSet) -> None:
    torch.manual_seed(1)
    embeds = model.embed([texts.texts[0].before, texts.texts[0].pixels, texts.texts[0].after])
    wanted = model.text_decoder.hidden_states(embeds)
    errors = {}
    for scheme in ("int4", "int4-calibrated"):
        quantized = copy.deepcopy(model)
        recipe = make_recipe("fp32", llm=scheme, lm_head="fp32")
        report = quantize(quantized, recipe, inputs=DecoderInputs(quantized, texts))
        errors[scheme] = float((quantized.text_decoder.hidden_states(embeds) - wanted).square().mean())
    assert errors["int4-calibrated"] < 0.8 * errors["int4"]
    assert report.to_json()["calibration"] == texts.description


def test_a_layers_inputs_come_from_the_quantized_layers_before(model: MobileVLM, texts: CalibrationSet) -> None:
    states = [model.embed([text.before, text.pixels, text.after]) for text in texts.texts]
    normed = [model.text_decoder.layers[0].input_layernorm(state)[0] for state in states]
    inputs = DecoderInputs(model, texts)
    expected = sum(rows.T @ rows for rows in normed)
    for name in ("q_proj", "k_proj", "v_proj"):
        torch.testing.assert_close(inputs.hessian(f"layers.0.self_attn.{name}"), expected, rtol=1e-4, atol=1e-3)
    last = [model.text_decoder.hidden_states(state)[0] for state in states]
    torch.testing.assert_close(inputs.hessian(""), sum(rows.T @ rows for rows in last), rtol=1e-4, atol=1e-3)


def test_missing_calibration_data_is_reported(model: MobileVLM) -> None:
    with pytest.raises(QuantizeError, match=r"llm\.layers\.0\.self_attn\.q_proj: got no calibration data"):
        quantize(copy.deepcopy(model), RECIPES["int4-calibrated"])


def test_a_folder_of_pictures(model: MobileVLM, tiny_tokenizer_model: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    with pytest.raises(QuantizeError, match="got no image that can be opened"):
        read_folder(tmp_path, tokenizer, model.config)
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(read_folder(tmp_path, tokenizer, model.config).texts) == 1
    with pytest.raises(QuantizeError, match="no such folder"):
        read_folder(tmp_path / "none", tokenizer, model.config)
