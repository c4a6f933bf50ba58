"""The model's parts in the form that Core AI's converter takes: one type throughout, integer weights behind an operator.

Letters: T tokens, E tokens up to the end of this call, C cache positions, L layers, D width, H heads, G key/value heads, K head
width, P patches, V vocabulary, S image side.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.dependencies.torchao_private import INT4, integers, is_int4, is_quantized, scales
from mobilevlm_export.model.mobilellama import DecoderLayer, MobileLlama, RMSNorm, apply_rope, rope_tables
from mobilevlm_export.model.mobilevlm import VisionEncoder
from mobilevlm_export.model.vision_encoder import VisionLayer


class _Typed(nn.Module):
    """A module whose arrays are buffers of one ``dtype``."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def keep(self, name: str, value: Tensor | None) -> None:
        """``value`` in the module's type as the buffer ``name``."""
        typed = None if value is None else value.detach().to(self.dtype).contiguous()
        self.register_buffer(name, typed)


class CoreAILinear(_Typed):
    """A linear: with the integers and scales of a quantized weight, which Core AI dequantizes, or a plain one."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        weight: Any = linear.weight
        self.stored: torch.dtype | None = None
        self.keep("bias", linear.bias)
        if is_quantized(weight):
            self.stored = INT4 if is_int4(weight) else torch.int8
            self.register_buffer("weight", integers(weight))  # int8 [N, K], also for int4
            self.keep("scale", scales(weight).reshape(weight.shape[0], -1))  # [N, groups]
        else:
            self.keep("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [..., K]."""
        weight = self.weight
        if self.stored is not None:
            shift_scale = torch.ops.coreai.constexpr_blockwise_shift_scale
            weight = shift_scale(weight, self.scale, None, None, self.stored, None)
        return functional.linear(x, weight, self.bias)


class _Norm(_Typed):
    """RMSNorm, its mean in float32."""

    weight: Tensor

    def __init__(self, norm: RMSNorm, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self.eps = norm.eps
        self.keep("weight", norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class _DecoderLayer(nn.Module):
    def __init__(self, layer: DecoderLayer, index: int, dtype: torch.dtype) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.index = index
        self.num_heads, self.num_kv_heads, self.head_dim = (
            attention.num_heads,
            attention.num_kv_heads,
            attention.head_dim,
        )
        self.before_attention = _Norm(layer.input_layernorm, dtype)
        self.before_mlp = _Norm(layer.post_attention_layernorm, dtype)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            CoreAILinear(linear, dtype)
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
        )
        self.gate_proj, self.up_proj, self.down_proj = (
            CoreAILinear(linear, dtype) for linear in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
        )

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], visible: Tensor, caches: tuple[Tensor, Tensor]) -> Tensor:
        """Refine ``x`` [1, T, D], writing its keys and values to ``caches`` [L, 1, G, C, K]."""
        x = x + self._attended(self.before_attention(x), rope, visible, caches)
        normed = self.before_mlp(x)
        return x + self.down_proj(functional.silu(self.gate_proj(normed)) * self.up_proj(normed))

    def _attended(
        self, x: Tensor, rope: tuple[Tensor, Tensor], visible: Tensor, caches: tuple[Tensor, Tensor]
    ) -> Tensor:
        tokens, end = visible.shape
        q = apply_rope(self.q_proj(x).view(1, tokens, self.num_heads, self.head_dim), *rope).transpose(1, 2)
        k = apply_rope(self.k_proj(x).view(1, tokens, self.num_kv_heads, self.head_dim), *rope)
        v = self.v_proj(x).view(1, tokens, self.num_kv_heads, self.head_dim)
        k, v = (self._cached(cache, new, end) for cache, new in zip(caches, (k, v), strict=True))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=1 / math.sqrt(self.head_dim))
        return self.o_proj(mixed.transpose(1, 2).reshape(1, tokens, -1))

    def _cached(self, cache: Tensor, new: Tensor, end: int) -> Tensor:
        """Write ``new`` [1, T, G, K] to ``cache`` [L, 1, G, C, K] up to position ``end``; all up to there as [1, H, E, K]."""
        cache[self.index, :, :, end - new.shape[1] : end] = new.transpose(1, 2)
        kept = cache[self.index, :, :, :end]
        shared = self.num_heads // self.num_kv_heads
        return kept.repeat_interleave(shared, dim=1) if shared > 1 else kept


class CoreAITextDecoder(_Typed):
    """``text_decoder`` in the form that Apple publishes for vision-language decoders: one function, dynamic lengths.

    The position is the difference of two inputs' lengths, not a number in the graph: a write to the cache at a computed index is
    reported to crash on devices.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, decoder: MobileLlama, positions: int, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        cos, sin = rope_tables(decoder.config, positions)
        self.keep("cos", cos)
        self.keep("sin", sin)
        self.layers = nn.ModuleList(
            _DecoderLayer(layer, index, dtype)
            for index, layer in enumerate(decoder.layers)
            if isinstance(layer, DecoderLayer)
        )
        self.norm = _Norm(decoder.norm, dtype)
        self.lm_head = CoreAILinear(decoder.lm_head, dtype)

    def forward(self, embeds: Tensor, position_ids: Tensor, k_cache: Tensor, v_cache: Tensor) -> Tensor:
        """Logits [1, 1, V] after ``embeds`` [1, T, D], the last T of the positions ``position_ids`` int32 [1, E]."""
        tokens, end = embeds.shape[1], position_ids.shape[1]
        torch._check(end - tokens >= 0)
        rows = position_ids[0, end - tokens : end]
        rope = self.cos[rows], self.sin[rows]
        visible = torch.arange(end)[None] <= (torch.arange(tokens) + (end - tokens))[:, None]  # [T, E]
        x = embeds
        for layer in self.layers:
            x = layer(x, rope, visible, (k_cache, v_cache))
        return self.lm_head(self.norm(x[:, -1:]))


class _VisionLayer(_Typed):
    slope: Tensor

    def __init__(self, layer: VisionLayer, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        attention = layer.self_attn
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        self.before_attention, self.before_mlp = (
            _LayerNorm(layer.layer_norm1, dtype),
            _LayerNorm(layer.layer_norm2, dtype),
        )
        self.q_proj, self.k_proj, self.v_proj, self.out_proj, self.fc1, self.fc2 = (
            CoreAILinear(linear, dtype)
            for linear in (
                attention.q_proj,
                attention.k_proj,
                attention.v_proj,
                attention.out_proj,
                layer.mlp.fc1,
                layer.mlp.fc2,
            )
        )
        self.keep("slope", torch.as_tensor(layer.mlp.slope).view(-1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(1, x.shape[1], self.num_heads, self.head_dim).transpose(1, 2)  # [1, H, P, K]

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x`` [1, P, D]."""
        normed = self.before_attention(x)
        q, k, v = (self._heads(project(normed)) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(self.head_dim))
        x = x + self.out_proj(mixed.transpose(1, 2).reshape(x.shape))
        hidden = self.fc1(self.before_mlp(x))
        return x + self.fc2(hidden * torch.sigmoid(hidden * self.slope))  # QuickGELU


class _LayerNorm(_Typed):
    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        self.eps = norm.eps
        self.keep("weight", norm.weight)
        self.keep("bias", norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def _typed_projector(projector: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of ``projector`` that computes in ``dtype``, with the integers of its quantized linears."""
    own = copy.deepcopy(projector)
    for name, module in list(own.named_modules()):
        if isinstance(module, nn.Linear):
            own.set_submodule(name, CoreAILinear(module, dtype))
    return own.to(dtype)


class CoreAIVisionEncoder(_Typed):
    """``vision_encoder``: bytes in, image embeddings and CLIP's features out; normalized here, in float32."""

    pixel_scale: Tensor
    pixel_shift: Tensor
    patch_weight: Tensor
    class_token: Tensor
    positions: Tensor

    def __init__(self, encoder: VisionEncoder, dtype: torch.dtype) -> None:
        super().__init__(dtype)
        tower = encoder.tower
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (encoder.mean, encoder.std))
        self.register_buffer("pixel_scale", 1 / (255 * std))
        self.register_buffer("pixel_shift", -mean / std)
        patch = tower.embeddings.patch_embedding
        self.stride = patch.stride
        self.keep("patch_weight", patch.weight)
        self.keep("class_token", tower.embeddings.class_embedding.view(1, 1, -1))
        self.keep("positions", tower.embeddings.position_embedding[None])
        self.pre_layernorm = _LayerNorm(tower.pre_layrnorm, dtype)
        self.layers = nn.ModuleList(
            _VisionLayer(layer, dtype) for layer in tower.layers if isinstance(layer, VisionLayer)
        )
        self.projector = _typed_projector(encoder.projector, dtype)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [1, image tokens, D] and features [1, P, vision D] of ``pixels`` uint8 [1, 3, S, S]."""
        images = (pixels.float() * self.pixel_scale + self.pixel_shift).to(self.dtype)
        patches = functional.conv2d(images, self.patch_weight, stride=self.stride).flatten(2).transpose(1, 2)
        x = self.pre_layernorm(torch.cat([self.class_token, patches], dim=1) + self.positions)
        for layer in self.layers:
            x = layer(x)
        features = x[:, 1:]
        return self.projector(features), features
