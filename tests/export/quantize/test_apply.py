"""Recipes and their effect on a tiny model's weights."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.dependencies.torchao_private import is_int4, is_quantized
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import KNOBS, RECIPES, make_recipe
from mobilevlm_export.quantize.report import shipped_bytes


@pytest.fixture
def model(tiny_config: MobileVLMConfig) -> MobileVLM:
    torch.manual_seed(0)
    return MobileVLM(tiny_config).eval()


def test_default_recipe() -> None:
    recipe = RECIPES["int4"]
    assert recipe.to_json() == {
        "name": "int4", "llm": "int4", "lm_head": "int8", "vision": "int8", "projector": "int8", "embedding": "int8",
    }  # fmt: skip


@pytest.mark.parametrize("knob", list(KNOBS))
def test_each_knob_alone(knob: str) -> None:
    for value in KNOBS[knob]:
        recipe = make_recipe("fp32", **{knob: value})
        assert getattr(recipe, knob) == value
        follows = RECIPES[value].lm_head if knob == "llm" else "fp32"
        assert recipe.lm_head == (value if knob == "lm_head" else follows)
        assert all(getattr(recipe, other) == "fp32" for other in KNOBS if other not in (knob, "lm_head"))
        assert recipe.name == ("fp32" if value == "fp32" else f"fp32+{knob}={value}")


def test_lm_head_follows_the_llm_unless_set() -> None:
    assert make_recipe("int4", llm="fp32").lm_head == "fp32"
    apart = make_recipe("int4", llm="fp32", lm_head="int4")
    assert (apart.llm, apart.lm_head, apart.name) == ("fp32", "int4", "int4+llm=fp32+lm_head=int4")
    assert make_recipe("int4", llm="int4", lm_head="int4").name == "int4+lm_head=int4"


def test_lm_head_has_its_own_bits(model: MobileVLM) -> None:
    report = quantize(model, make_recipe("int4", lm_head="int8"))
    assert model.text_decoder.lm_head.weight.target_dtype == torch.int8
    assert all(
        module.weight.target_dtype == torch.int4
        for module in model.text_decoder.layers.modules()
        if isinstance(module, nn.Linear)
    )
    head = next(component for component in report.components if component.component == "lm_head")
    assert (head.scheme, head.modules, head.bytes_after) == ("8da8w per channel", 1, 512 * 96 + 4 * 512)


def test_a_none_knob_keeps_the_recipe() -> None:
    assert make_recipe("int4", llm=None, vision=None) == RECIPES["int4"]


@pytest.mark.parametrize(
    ("name", "knobs", "named"),
    [
        ("int3", {}, "int3"),
        ("int4", {"vision": "int3"}, "vision"),
        ("int4", {"projector": "bf16"}, "projector"),
        ("int4", {"tower": "int8"}, "tower"),
    ],
)
def test_unknown_values_are_named(name: str, knobs: dict[str, str], named: str) -> None:
    with pytest.raises(QuantizeError, match=named):
        make_recipe(name, **knobs)


def test_int4_shrinks_every_linear_and_lists_the_rest(model: MobileVLM) -> None:
    calls = []
    report = quantize(model, RECIPES["int4"], lambda stage, done, total: calls.append((stage, done, total)))
    by_name = {component.component: component for component in report.components}
    assert {name: component.modules for name, component in by_name.items()} == {
        "llm": 2 * 7,
        "lm_head": 1,
        "vision": 2 * 6,
        "projector": 2,
        "embedding": 1,
    }
    # Four bits and a bfloat16 scale for 32 weights: 4.5 bits instead of 32.
    assert by_name["llm"].bytes_after == by_name["llm"].bytes_before * 4.5 / 32
    assert all(component.bytes_after < component.bytes_before * 0.28 for component in report.components)
    assert calls == [("quantize", done, 30) for done in range(1, 31)]
    left = {(entry.component, entry.what) for entry in report.unquantized}
    assert left == {
        ("llm", "RMSNorm weight"),
        ("vision", "PatchEmbedding class_embedding"),
        ("vision", "PatchEmbedding position_embedding"),
        ("vision", "Conv2d weight"),
        ("vision", "LayerNorm weight"),
        ("vision", "LayerNorm bias"),
        ("vision", "Linear bias"),
        ("projector", "Linear bias"),
        ("projector", "depthwise weight"),
        ("projector", "depthwise bias"),
    }
    assert all(entry.reason for entry in report.unquantized)
    for part in (model.text_decoder, model.vision_encoder):
        assert all(is_quantized(module.weight) for module in part.modules() if isinstance(module, nn.Linear))


def test_int4_all_quantizes_every_linear_and_row_to_four_bits(model: MobileVLM) -> None:
    report = quantize(model, RECIPES["int4-all"])
    for component in report.components:
        assert component.bytes_after <= component.bytes_before * 6 / 32  # embeddings have scales of four bytes
        assert "4" in component.scheme
    assert all(is_int4(module.weight) for module in model.modules() if isinstance(module, nn.Linear | nn.Embedding))


def test_everything_is_counted_once(model: MobileVLM) -> None:
    total = sum(parameter.numel() * 4 for parameter in model.parameters())
    report = quantize(model, RECIPES["fp32"])
    assert sum(entry.bytes for entry in report.unquantized) == total


@pytest.mark.parametrize(("name", "least"), [("int8", 0.999), ("int4", 0.97)])
def test_answers_stay_close(model: MobileVLM, name: str, least: float) -> None:
    exact = copy.deepcopy(model)
    quantize(model, RECIPES[name])
    with torch.inference_mode():
        ids = torch.arange(12)[None]
        embeds = exact.token_embedding(ids)
        assert cosine_similarity(model.token_embedding(ids), embeds, dim=-1).min() > 0.999
        logits, expected = model.text_decoder(embeds), exact.text_decoder(embeds)
        assert cosine_similarity(logits, expected, dim=-1).min() > least
        pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8)
        got, wanted = model.vision_encoder(pixels), exact.vision_encoder(pixels)
        assert cosine_similarity(got, wanted, dim=-1).min() > 0.99
        assert not torch.equal(logits, expected)


def test_int4_falls_back_to_int8_for_odd_widths_and_reports_it() -> None:
    tiny = MobileVLMConfig.tiny()
    llm = dataclasses.replace(tiny.llm, intermediate_size=200, num_layers=1)
    model = MobileVLM(dataclasses.replace(tiny, llm=llm))
    report = quantize(model, make_recipe("fp32", llm="int4"))
    layer = model.text_decoder.layers[0]
    assert layer.mlp.down_proj.weight.target_dtype == torch.int8
    assert layer.mlp.up_proj.weight.target_dtype == torch.int4
    entries = [entry for entry in report.unquantized if "down_proj" in entry.what]
    assert [entry.reason for entry in entries] == [
        "int8: its 200 inputs are not a multiple of the int4 group size 32",
    ]
    assert entries[0].bytes == shipped_bytes(layer.mlp.down_proj.weight) == 200 * 96 + 4 * 96


def test_half_precision_weights_are_widened(model: MobileVLM) -> None:
    quantize(model.half(), RECIPES["int4"])
    logits = model.text_decoder(model.token_embedding(torch.zeros(1, 3, dtype=torch.long)))
    assert logits.dtype == torch.float32
    assert model.vision_encoder(torch.zeros(1, 3, 56, 56, dtype=torch.uint8)).dtype == torch.float32
    assert model.text_decoder.layers[0].mlp.up_proj.weight.scale.dtype == torch.bfloat16  # type: ignore[union-attr]


def test_quantizing_twice_is_refused(model: MobileVLM) -> None:
    quantize(model, RECIPES["int8"])
    with pytest.raises(QuantizeError, match=r"q_proj.*already quantized"):
        quantize(model, RECIPES["int8"])


@pytest.mark.parametrize("name", ["int4", "int8"])
def test_nan_weights_are_named(model: MobileVLM, name: str) -> None:
    with torch.no_grad():
        model.text_decoder.layers[1].mlp.up_proj.weight[3, 5] = torch.nan
    with pytest.raises(QuantizeError, match=r"llm\.layers\.1\.mlp\.up_proj\.weight.*not finite"):
        quantize(model, RECIPES[name])


# In a process of its own: what other tests have freed would be taken again unseen.
_QUANTIZE = """
from dataclasses import replace
from pathlib import Path
import torch
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.quantize.report import shipped_bytes

def private_bytes():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024

torch.set_num_threads(1)
tiny = MobileVLMConfig.tiny()
quantize(MobileVLM(tiny), RECIPES["int4"])  # whatever is made once is made now
before = private_bytes()
llm = replace(tiny.llm, hidden_size=512, intermediate_size=2048, num_layers=8, num_heads=8, num_kv_heads=8)
model = MobileVLM(replace(tiny, llm=llm, projector=replace(tiny.projector, hidden_size=512))).half()
print(sum(parameter.nbytes for parameter in model.parameters()))
quantize(model, RECIPES["int4"], lambda *_: print(private_bytes() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="private memory is read from /proc")
def test_memory_shrinks_as_weights_are_quantized() -> None:
    """Half-precision weights kept by the allocator would take more memory than the model."""
    command = [sys.executable, "-c", _QUANTIZE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    size, *used = (int(line) for line in done.stdout.split())
    assert size > 50e6
    assert max(used) < 1.2 * size
    assert used[-1] < 0.7 * size  # int8 and int4 take a byte a weight here, of the two before, and there are scales
