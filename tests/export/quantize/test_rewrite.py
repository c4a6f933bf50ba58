"""Rewrites before quantizing: the model computes the same, and outliers no longer cost accuracy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tiny import TINY, outputs, random_model
from torch import Tensor, nn

from mobilevlm_export.checkpoint.outlier_places import EQUIVALENT
from mobilevlm_export.checkpoint.outliers import add_outliers
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.model.links import head_link, layer_links, linked_layers
from mobilevlm_export.model.mobilellama import MLP, RMSNorm
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.balance import balance, quick_gelu_magnitude, swiglu_magnitude, value_magnitude
from mobilevlm_export.quantize.fold_norms import fold_norm
from mobilevlm_export.quantize.recipe import RECIPES, make_recipe
from mobilevlm_export.quantize.rewrite import rewrite_head, rewrite_layer
from mobilevlm_export.quantize.rotate_values import orthogonal, rotate_values

GROUPED = replace(TINY, llm=replace(TINY.llm, num_kv_heads=1))


def busy_model(config: MobileVLMConfig = TINY) -> MobileVLM:
    """A model in which every gain and bias differs from its neutral value."""
    model = random_model()
    if config is not TINY:
        torch.manual_seed(0)
        model = MobileVLM(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | RMSNorm):
            module.weight.data.uniform_(0.5, 2, generator=generator)
        if isinstance(module, nn.LayerNorm | nn.Linear) and module.bias is not None:
            module.bias.data.normal_(0, 0.3, generator=generator)
    return model


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def snr(model: MobileVLM, reference: MobileVLM) -> tuple[float, float]:
    """Decibels of features and logits."""
    found = zip(outputs(model), outputs(reference), strict=True)
    features, logits = (-20 * float(torch.log10(torch.tensor(relative(got, expected)))) for got, expected in found)
    return features, logits


def fold_all(model: MobileVLM) -> None:
    for layer in linked_layers(model):
        for link in layer_links(layer).norms:
            fold_norm(link)
    fold_norm(head_link(model.text_decoder))


def balance_values(model: MobileVLM) -> None:
    for layer in linked_layers(model):
        link = layer_links(layer).value
        balance(link, value_magnitude(link.producer))


def balance_middles(model: MobileVLM) -> None:
    for layer in linked_layers(model):
        mlp = layer.mlp
        magnitude = swiglu_magnitude(mlp) if isinstance(mlp, MLP) else quick_gelu_magnitude(mlp)
        balance(layer_links(layer).middle, magnitude)


def rotate_all(model: MobileVLM) -> None:
    for layer in linked_layers(model):
        rotate_values(layer_links(layer).value)


def rewrite_all(model: MobileVLM) -> None:
    for layer in linked_layers(model):
        rewrite_layer(layer)
    rewrite_head(model.text_decoder)


@pytest.mark.parametrize("config", [TINY, GROUPED], ids=["heads of their own", "grouped heads"])
@pytest.mark.parametrize("rewrite", [fold_all, balance_values, balance_middles, rotate_all, rewrite_all])
def test_each_rewrite_keeps_the_function(rewrite: Callable[[MobileVLM], None], config: MobileVLMConfig) -> None:
    model = busy_model(config)
    before, weights = outputs(model), copy.deepcopy(model.state_dict())
    rewrite(model)
    assert any(not torch.equal(weights[name], value) for name, value in model.state_dict().items())
    for got, expected in zip(outputs(model), before, strict=True):
        assert relative(got, expected) < 1e-5


def test_folded_norms_are_neutral() -> None:
    model = busy_model()
    fold_all(model)
    for layer in linked_layers(model):
        for link in layer_links(layer).norms:
            assert torch.equal(link.norm.weight, torch.ones(link.channels))
            if isinstance(link.norm, nn.LayerNorm):
                assert not link.norm.bias.any()
                assert all(linear.weight.mean(dim=1).abs().max() < 1e-7 for linear in link.linears)
    assert torch.equal(model.text_decoder.norm.weight, torch.ones(TINY.llm.hidden_size))


def test_outliers_leave_no_trace() -> None:
    """Whatever the scales of channels were, the rewritten weights are the same."""
    plain, model = busy_model(), busy_model()
    add_outliers(model)
    rewrite_all(plain)
    rewrite_all(model)
    for name, weight in plain.named_parameters():
        assert torch.allclose(model.get_parameter(name), weight, rtol=1e-4, atol=1e-6), name


def test_balanced_channels_have_equal_magnitudes() -> None:
    model = busy_model()
    add_outliers(model, places=("value", "mlp"))
    for layer in linked_layers(model):
        links, mlp = layer_links(layer), layer.mlp
        balance(links.value, value_magnitude(links.value.producer))
        spread = value_magnitude(links.value.producer) / links.value.consumer.weight.square().mean(dim=0).sqrt()
        assert spread.max() / spread.min() < 1.001
        if isinstance(mlp, MLP):
            balance(links.middle, swiglu_magnitude(mlp))
            columns = mlp.down_proj.weight.square().mean(dim=0).sqrt()
            assert (swiglu_magnitude(mlp) / columns).log().std() < 1e-3


def test_magnitudes_are_the_measured_ones() -> None:
    """Inputs of unit variance give each channel the root mean square that is computed from the weights."""
    model = busy_model()
    fold_all(model)
    generator = torch.Generator().manual_seed(3)
    for layer in linked_layers(model):
        mlp = layer.mlp
        wide = mlp.fc1.in_features if not isinstance(mlp, MLP) else mlp.up_proj.in_features
        x = torch.randn(20_000, wide, generator=generator)
        if isinstance(mlp, MLP):
            measured, computed = nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x), swiglu_magnitude(mlp)
        else:
            hidden = mlp.fc1(x)
            measured, computed = hidden * torch.sigmoid(1.702 * hidden), quick_gelu_magnitude(mlp)
        ratio = measured.square().mean(dim=0).sqrt() / computed
        assert ratio.min() > 0.8
        assert ratio.max() < 1.25


def test_a_channel_that_is_never_used_stays_finite() -> None:
    model = busy_model()
    layer = model.text_decoder.layers[0]
    layer.mlp.up_proj.weight.data[3] = 0  # type: ignore[union-attr, operator]
    layer.mlp.down_proj.weight.data[:, 5] = 0  # type: ignore[union-attr, operator]
    before = outputs(model)
    rewrite_all(model)
    assert all(relative(got, expected) < 1e-5 for got, expected in zip(outputs(model), before, strict=True))


@pytest.mark.parametrize("size", [32, 64, 80, 96, 128])
def test_rotations_are_orthogonal_and_mix_every_channel(size: int) -> None:
    turn = orthogonal(size)
    assert torch.allclose(turn @ turn.T, torch.eye(size), atol=1e-5)
    assert turn.abs().min() > 1e-4
    assert turn.abs().max() < 0.9


def test_quantizing_rewrites_only_what_is_quantized() -> None:
    model = busy_model()
    gains = {name: value.clone() for name, value in model.named_parameters() if "norm" in name}
    quantize(model, make_recipe("fp32", llm="int8", lm_head="fp32"))
    changed = {name for name, gain in gains.items() if not torch.equal(model.get_parameter(name), gain)}
    assert changed == {name for name in gains if name.startswith("text_decoder.layers.")}
    assert not is_quantized(model.text_decoder.lm_head.weight)


def test_quantizing_a_copy_leaves_shared_weights_alone() -> None:
    model = busy_model()
    before = copy.deepcopy(model.state_dict())
    shared = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    quantize(shared, RECIPES["int8"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(isinstance(layer.mlp, MLP) or layer.mlp.slope == 1.702 for layer in linked_layers(model))


@pytest.mark.parametrize("recipe", ["int8", "int4"])
def test_outliers_cost_nothing_once_rewritten(recipe: str) -> None:
    plain, loud, reference = busy_model(), busy_model(), busy_model()
    add_outliers(loud, places=EQUIVALENT)
    quantize(plain, RECIPES[recipe])
    quantize(loud, RECIPES[recipe])
    for got, expected in zip(snr(loud, reference), snr(plain, reference), strict=True):
        assert got > expected - 1
