"""Recipe files: they round-trip, and errors name the file, the key and the allowed values."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import random_model

from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import Recipe, make_recipe
from mobilevlm_export.quantize.recipe_file import read_recipe, recipe_text

RECIPE = Recipe("small", "int4", "int8", "int8", "fp32", "int4", llm_layers="0-0=fp32")


def test_read_back_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(recipe_text(RECIPE))
    assert read_recipe(tmp_path / "a.toml") == RECIPE


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("llm = ", "expected a recipe in TOML"),
        (
            recipe_text(make_recipe("int4")) + 'head = "int8"\n',
            "got the key 'head', expected one of name, llm, lm_head",
        ),
        (recipe_text(make_recipe("int4")).replace('"int4"', "4"), "name: got 4, expected a string"),
        ('llm = "int4"\n', "got no lm_head, expected one of fp32, int8, int4"),
        (recipe_text(make_recipe("int4")).replace('vision = "int8"', 'vision = "int3"'), "vision: got 'int3'"),
        (recipe_text(make_recipe("int4")) + 'llm_layers = "3=int8"\n', "llm_layers: got '3=int8', expected a range"),
        (recipe_text(make_recipe("int4")) + 'llm_layers = "0-3=int8,2-5=fp32"\n', "got layer 2 twice"),
        (
            recipe_text(make_recipe("int4")) + 'llm_layers = "0-4000000000=int8"\n',
            "llm_layers: got '0-4000000000=int8'",
        ),
        ("llm = " + "9" * 5000, "expected a recipe in TOML"),
        ("llm = " + "[" * 100_000, "expected a recipe in TOML"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(QuantizeError, match=r"bad\.toml") as raised:
        read_recipe(tmp_path / "bad.toml")
    assert error in str(raised.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="can't be read: No such file"):
        read_recipe(tmp_path / "none.toml")


def test_layers_with_their_own_scheme() -> None:
    model = random_model()
    report = quantize(model, RECIPE)
    first, second = (layer.mlp.up_proj.weight for layer in model.text_decoder.layers)
    assert (is_quantized(first), is_quantized(second)) == (False, True)
    assert report.to_json()["recipe"]["llm_layers"] == "0-0=fp32"
    with pytest.raises(QuantizeError, match="got layer 2, expected at most 1"):
        quantize(random_model(), Recipe("x", "int4", "int8", "int8", "fp32", "int4", llm_layers="0-2=int8"))
