"""Widen a model without changing what it computes, until each row of its decoder's matrices is a multiple of 256.

llama.cpp's K-quants store blocks of 256 values; where a row isn't a multiple of that, the quantizer falls back to another type.

A channel of the residual stream becomes n channels, c · w₁ … c · wₙ, with w₁² + … + wₙ² = 1. Whatever reads the stream multiplies
copy i by wᵢ again, so it reads c. The sum of squares stays the same, so RMSNorm only needs its mean over more channels corrected, in
epsilon and gain. A copy has the same kernel in LDPv2's depthwise convolution. A head, and a hidden unit of SwiGLU or LDPv2, is
computed n times, and its output is split among the copies. All matrices are dense, none has a row of zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.model.ldpv2 import LDPv2
from mobilevlm_export.model.mobilellama import Attention, DecoderLayer
from mobilevlm_export.model.mobilevlm import MobileVLM

BLOCK = 256  # values in a block of llama.cpp's K-quants


@dataclass(frozen=True)
class _Copies:
    """Which of the old channels each new one is a copy of (int64 [new]), and its weight (float [new]), which isn't 1 / n."""

    source: Tensor
    weight: Tensor

    @classmethod
    def make(cls, old: int, new: int, power: int, random: Generator) -> _Copies:
        """Copies whose weights, raised to ``power``, sum to 1 for each old channel."""
        source = torch.arange(new) % old
        uneven = torch.rand(new, generator=random, dtype=torch.float64) + 0.5
        return cls(
            source, uneven / torch.zeros(old).double().index_add(0, source, uneven**power)[source] ** (1 / power)
        )

    def rows(self, values: Tensor) -> Tensor:
        """``values`` [old, …] as [new, …], weighted."""
        return values[self.source] * self.weight.view(-1, *[1] * (values.ndim - 1))

    def columns(self, values: Tensor) -> Tensor:
        """``values`` [N, old] as [N, new], weighted."""
        return values[:, self.source] * self.weight


def widened(model: MobileVLM, seed: int = 0) -> MobileVLM:
    """A model with the logits of ``model``, to float32's precision, whose decoder's matrices have rows of multiples of 256.

    Raises:
        ConfigError: its heads share keys and values, or have a width that doesn't divide 256, or its projector isn't LDPv2.
    """
    old, config = model.config.llm, wide_config(model.config)
    llm = config.llm
    random = torch.Generator().manual_seed(seed)
    stream = _Copies.make(old.hidden_size, llm.hidden_size, 2, random)
    heads = _Copies.make(old.num_heads, llm.num_heads, 1, random)
    units = _Copies.make(old.intermediate_size, llm.intermediate_size, 1, random)
    features = _Copies.make(old.hidden_size, llm.hidden_size, 1, random)
    gain = math.sqrt(old.hidden_size / llm.hidden_size)

    wide = MobileVLM(config).eval().requires_grad_(False)
    wide.tokenizer = model.tokenizer
    wide.vision_encoder.tower.load_state_dict(model.vision_encoder.tower.state_dict())
    _set(wide.token_embedding, stream.columns(_of(model.token_embedding)))
    ldpv2, wide_ldpv2 = model.vision_encoder.projector, wide.vision_encoder.projector
    if not isinstance(ldpv2, LDPv2) or not isinstance(wide_ldpv2, LDPv2):
        raise ConfigError(f"projector: got {model.config.projector.kind.name}, expected LDPv2")
    _set(wide_ldpv2.fc1, _of(ldpv2.fc1)[features.source], _bias(ldpv2.fc1)[features.source])
    _set(wide_ldpv2.fc2, stream.rows(features.columns(_of(ldpv2.fc2))), stream.rows(_bias(ldpv2.fc2)))
    _set(wide_ldpv2.peg, _of(ldpv2.peg)[stream.source], stream.rows(_bias(ldpv2.peg)))
    for layer, wide_layer in zip(model.text_decoder.layers, wide.text_decoder.layers, strict=True):
        assert isinstance(layer, DecoderLayer)
        assert isinstance(wide_layer, DecoderLayer)
        _set(wide_layer.input_layernorm, _of(layer.input_layernorm)[stream.source] * gain)
        _widen_heads(layer.self_attn, wide_layer.self_attn, stream, heads, random)
        _set(wide_layer.post_attention_layernorm, _of(layer.post_attention_layernorm)[stream.source] * gain)
        _set(wide_layer.mlp.gate_proj, stream.columns(_of(layer.mlp.gate_proj)[units.source]))
        _set(wide_layer.mlp.up_proj, stream.columns(_of(layer.mlp.up_proj)[units.source]))
        _set(wide_layer.mlp.down_proj, stream.rows(units.columns(_of(layer.mlp.down_proj))))
    _set(wide.text_decoder.norm, _of(model.text_decoder.norm)[stream.source] * gain)
    _set(wide.text_decoder.lm_head, stream.columns(_of(model.text_decoder.lm_head)))
    return wide


def wide_config(config: MobileVLMConfig) -> MobileVLMConfig:
    """``config`` with the decoder's width, heads and hidden units increased to multiples of 256; errors as :func:`widened`."""
    llm = config.llm
    if llm.num_kv_heads != llm.num_heads or BLOCK % llm.head_dim:
        raise ConfigError(
            f"llm: got {llm.num_heads} heads of width {llm.head_dim} and {llm.num_kv_heads} key/value heads, expected heads with "
            f"their own keys and values, of a width that divides {BLOCK}"
        )
    width = math.ceil(llm.hidden_size / BLOCK) * BLOCK
    wide = replace(
        llm,
        hidden_size=width,
        intermediate_size=math.ceil(llm.intermediate_size / BLOCK) * BLOCK,
        num_heads=width // llm.head_dim,
        num_kv_heads=width // llm.head_dim,
        rms_norm_eps=llm.rms_norm_eps * llm.hidden_size / width,
    )
    return replace(config, llm=wide, projector=replace(config.projector, hidden_size=width))


def _widen_heads(layer: Attention, wide: Attention, stream: _Copies, heads: _Copies, random: Generator) -> None:
    """Copy heads, each copy turned in a random way that its output doesn't depend on, so that it is rounded differently."""
    size = layer.head_dim
    turns = [_turned(size, random) for _ in heads.source]

    def by_head(linear: nn.Linear) -> Tensor:  # [H, K, D]
        return _of(linear).view(layer.num_heads, size, -1)[heads.source]

    for name in ("q_proj", "k_proj", "v_proj"):
        kind = 1 if name == "v_proj" else 0
        turned = torch.stack(
            [turn[kind] @ head for turn, head in zip(turns, by_head(getattr(layer, name)), strict=True)]
        )
        _set(getattr(wide, name), stream.columns(turned.flatten(0, 1)))
    outputs = _of(layer.o_proj).view(-1, layer.num_heads, size).transpose(0, 1)  # [H, D, K]
    turned = torch.stack(
        [head @ turn[1].T for turn, head in zip(turns, heads.rows(outputs), strict=True)], dim=1
    )  # [D, H, K]
    _set(wide.o_proj, stream.rows(turned.flatten(1)))


def _turned(size: int, random: Generator) -> tuple[Tensor, Tensor]:
    """A rotation [K, K] of queries and keys that RoPE commutes with, as it turns pairs (i, i + K/2) too, and one of values."""
    angles = torch.rand(size // 2, generator=random, dtype=torch.float64) * 2 * math.pi
    cos, sin = torch.diag(angles.cos()), torch.diag(angles.sin())
    pairs = torch.cat([torch.cat([cos, -sin], dim=1), torch.cat([sin, cos], dim=1)])
    values, _ = torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64))
    return pairs, values


def _of(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach().double()


def _bias(module: nn.Linear | nn.Conv2d) -> Tensor:
    assert module.bias is not None
    return module.bias.detach().double()


def _set(module: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    """Set a module's weight and bias, of the same shapes as before."""
    module.load_state_dict({"weight": weight.float()} | ({} if bias is None else {"bias": bias.float()}))
