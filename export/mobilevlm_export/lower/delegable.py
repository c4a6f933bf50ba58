"""The model's layers once more, in operators that XNNPACK takes, so that a whole layer becomes one delegate.

XNNPACK has no layer norm, no mean over the last dimension, and RoPE's halves would be slices outside of it. A mean is a linear
with equal weights, and RoPE's turned halves are a linear with a signed permutation: both cost next to nothing and keep a layer whole.
The numbers are those of the plain model up to rounding; tests compare them.
"""

from __future__ import annotations

import torch
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401  registers torch.ops.llama
from torch import Tensor, nn

from mobilevlm_export.config import LlamaConfig
from mobilevlm_export.model.mobilellama import Attention, DecoderLayer, MobileLlama, RMSNorm, rope_tables
from mobilevlm_export.model.mobilevlm import MobileVLM, VisionEncoder


class _Mean(nn.Module):
    """The mean over the last dimension, kept as a dimension of one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.share: Tensor
        self.register_buffer("share", torch.full((1, size), 1 / size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.share)


class DelegableRMSNorm(nn.Module):
    """:class:`RMSNorm` with its mean as a linear."""

    def __init__(self, norm: RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps
        self.mean = _Mean(norm.weight.numel())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` [..., D]."""
        return x * torch.rsqrt(self.mean(x * x) + self.eps) * self.weight


class DelegableLayerNorm(nn.Module):
    """``nn.LayerNorm`` with its means as linears."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.mean = _Mean(norm.weight.numel())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` [..., D]."""
        centered = x - self.mean(x)
        return centered * torch.rsqrt(self.mean(centered * centered) + self.eps) * self.weight + self.bias


class CachedAttention(nn.Module):
    """:class:`Attention` over a static KV cache, in ExecuTorch's ``llama`` operators."""

    def __init__(self, attention: Attention, config: LlamaConfig, max_context: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            attention.q_proj,
            attention.k_proj,
            attention.v_proj,
            attention.o_proj,
        )
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        shape = (1, max_context, config.num_kv_heads, config.head_dim)
        self.k_cache: Tensor
        self.v_cache: Tensor
        self.register_buffer("k_cache", torch.zeros(shape), persistent=False)
        self.register_buffer("v_cache", torch.zeros(shape), persistent=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, turn: Tensor, start: int) -> Tensor:
        """Attend from ``x`` [1, T, D] at positions from ``start``; ``cos``, ``sin`` [T, 1, K], ``turn`` [K, K]."""
        t = x.shape[1]
        q = self.q_proj(x).view(1, t, self.num_heads, self.head_dim)
        k = self.k_proj(x).view(1, t, self.num_kv_heads, self.head_dim)
        v = self.v_proj(x).view(1, t, self.num_kv_heads, self.head_dim)
        q = q * cos + nn.functional.linear(q, turn) * sin
        k = k * cos + nn.functional.linear(k, turn) * sin
        torch.ops.llama.update_cache(k, self.k_cache, start)
        torch.ops.llama.update_cache(v, self.v_cache, start)
        mixed = torch.ops.llama.custom_sdpa(q, self.k_cache, self.v_cache, start, None, 0.0, True)
        return self.o_proj(mixed.reshape(1, t, self.num_heads * self.head_dim))


class LoweredTextDecoder(nn.Module):
    """``text_decoder(embeds, input_pos)`` of the artifact: the last row's logits."""

    def __init__(self, decoder: MobileLlama, max_context: int) -> None:
        super().__init__()
        config = decoder.config
        self.layers, self.norm, self.lm_head = decoder.layers, decoder.norm, decoder.lm_head
        self.attentions = nn.ModuleList()
        for layer in decoder.layers:
            assert isinstance(layer, DecoderLayer)
            self.attentions.append(CachedAttention(layer.self_attn, config, max_context))
        self.max_context = max_context
        cos, sin = rope_tables(config, max_context)
        half = config.head_dim // 2
        turn = torch.zeros(config.head_dim, config.head_dim)
        turn[:half, half:] = -torch.eye(half)
        turn[half:, :half] = torch.eye(half)
        for name, table in (("cos", cos[:, None]), ("sin", sin[:, None]), ("turn", turn)):
            self.register_buffer(name, table.contiguous(), persistent=False)

    def forward(self, embeds: Tensor, input_pos: Tensor) -> Tensor:
        """``embeds`` float [1, T, D], ``input_pos`` int64 [1] → logits float [1, V] of the last position."""
        start = input_pos[0].item()
        t = embeds.shape[1]
        torch._check(start >= 0)
        torch._check(start + t <= self.max_context)
        cos, sin = self.cos.narrow(0, start, t), self.sin.narrow(0, start, t)
        x = embeds
        for layer, attention in zip(self.layers, self.attentions, strict=True):
            x = x + attention(layer.input_layernorm(x), cos, sin, self.turn, start)
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return self.lm_head(self.norm(x[:, -1]))


class LoweredVisionEncoder(nn.Module):
    """``vision_encoder(pixels)`` of the artifact: image embeddings, and the features before LDPv2."""

    def __init__(self, encoder: VisionEncoder) -> None:
        super().__init__()
        self.tower, self.projector = encoder.tower, encoder.projector
        scale = torch.tensor(encoder.std).mul(255).reciprocal().view(1, 3, 1, 1)
        shift = torch.tensor(encoder.mean).div(torch.tensor(encoder.std)).view(1, 3, 1, 1)
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``pixels`` uint8 [1, 3, S, S] → embeddings float [1, P / 4, D] and features float [1, P, vision width]."""
        features = self.tower(pixels.to(torch.float32) * self.scale - self.shift)
        return self.projector(features), features


def make_delegable(model: MobileVLM) -> None:
    """Replace every norm of ``model`` in place by one that XNNPACK takes; weights are shared, not copied."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, RMSNorm):
                setattr(module, name, DelegableRMSNorm(child))
            elif isinstance(child, nn.LayerNorm):
                setattr(module, name, DelegableLayerNorm(child))
