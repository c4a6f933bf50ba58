"""The model's parts in a form that XNNPACK can run whole, sharing the model's weights.

XNNPACK supports every operator used here for a dynamic number of tokens, so that a whole layer fits into one
delegate: a mean is a linear with the constant row 1/D, the rotation of RoPE a linear with a constant signed
permutation, and heads are split by views with one free dimension. Only what a delegate can't run stays outside: the
KV cache's update, the attention over it, and selecting the last position.

Letters: T tokens, C cache positions, D width, H heads, G key/value heads, K head width, P patches, V vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.config import LlamaConfig
from mobilevlm_export.lower.norm_modules import ExportLayerNorm, ExportRMSNorm, Means
from mobilevlm_export.lower.projector_modules import export_projector
from mobilevlm_export.model.mobilellama import Attention, DecoderLayer, MobileLlama, rope_tables
from mobilevlm_export.model.mobilevlm import MobileVLM, VisionEncoder
from mobilevlm_export.model.vision_encoder import VisionAttention, VisionLayer


class Rotation(nn.Module):
    """RoPE for positions below ``length``: tables, and the constant matrix that maps (a, b) to (-b, a)."""

    def __init__(self, config: LlamaConfig, length: int) -> None:
        super().__init__()
        cos, sin = rope_tables(config, length)
        half = config.head_dim // 2
        turn = torch.zeros(config.head_dim, config.head_dim)
        turn[:half, half:] = -torch.eye(half)
        turn[half:, :half] = torch.eye(half)
        self.cos: Tensor
        self.sin: Tensor
        self.turn: Tensor
        self.register_buffer("cos", cos[None, :, None], persistent=False)  # [1, C, 1, K]
        self.register_buffer("sin", sin[None, :, None], persistent=False)
        self.register_buffer("turn", turn, persistent=False)

    def at(self, start: int | torch.SymInt, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [1, T, 1, K] of ``length`` positions from ``start``."""
        return self.cos.narrow(1, start, length), self.sin.narrow(1, start, length)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Rotate ``x`` [1, T, H, K] by its positions' angles."""
        return x * cos + functional.linear(x, self.turn) * sin


class ExportAttention(nn.Module):
    """Attention over a static KV cache with ExecuTorch's own operators."""

    def __init__(self, attention: Attention, rotation: Rotation, max_context: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj = attention.q_proj, attention.k_proj
        self.v_proj, self.o_proj = attention.v_proj, attention.o_proj
        self.num_heads, self.num_kv_heads = attention.num_heads, attention.num_kv_heads
        self.head_dim, self.rotation = attention.head_dim, rotation
        cache = (1, max_context, self.num_kv_heads, self.head_dim)
        self.k_cache: Tensor
        self.v_cache: Tensor
        self.register_buffer("k_cache", torch.zeros(cache), persistent=False)
        self.register_buffer("v_cache", torch.zeros(cache), persistent=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], start: int | torch.SymInt) -> Tensor:
        """Attend from each token of ``x`` [1, T, D], at positions from ``start``, to all positions up to its own."""
        q = self.rotation(self.q_proj(x).view(1, -1, self.num_heads, self.head_dim), *rope)
        k = self.rotation(self.k_proj(x).view(1, -1, self.num_kv_heads, self.head_dim), *rope)
        v = self.v_proj(x).view(1, -1, self.num_kv_heads, self.head_dim)
        torch.ops.llama.update_cache(k, self.k_cache, start)
        torch.ops.llama.update_cache(v, self.v_cache, start)
        mixed = torch.ops.llama.custom_sdpa(
            q, self.k_cache, self.v_cache, start, None, 0.0, True, 1 / math.sqrt(self.head_dim)
        )  # [1, T, H, K]
        return self.o_proj(mixed.view(1, -1, self.num_heads * self.head_dim))


class ExportDecoderLayer(nn.Module):
    """One decoder layer."""

    def __init__(self, layer: DecoderLayer, means: Means, rotation: Rotation, max_context: int) -> None:
        super().__init__()
        self.input_layernorm = ExportRMSNorm(layer.input_layernorm, means)
        self.self_attn = ExportAttention(layer.self_attn, rotation, max_context)
        self.post_attention_layernorm = ExportRMSNorm(layer.post_attention_layernorm, means)
        self.mlp = layer.mlp

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], start: int | torch.SymInt) -> Tensor:
        """Refine ``x`` [1, T, D]."""
        x = x + self.self_attn(self.input_layernorm(x), rope, start)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextDecoderMethod(nn.Module):
    """``text_decoder``: embeddings and a position in, the last position's logits out."""

    def __init__(self, decoder: MobileLlama, max_context: int) -> None:
        super().__init__()
        means = Means(decoder.config.hidden_size)
        self.max_context = max_context
        self.rotation = Rotation(decoder.config, max_context)
        self.layers = nn.ModuleList(
            ExportDecoderLayer(layer, means, self.rotation, max_context)
            for layer in decoder.layers
            if isinstance(layer, DecoderLayer)
        )
        self.norm = ExportRMSNorm(decoder.norm, means)
        self.lm_head = decoder.lm_head

    def forward(self, embeds: Tensor, input_pos: Tensor) -> Tensor:
        """Logits [1, 1, V] after ``embeds`` float [1, T, D], the first at position ``input_pos`` int64 [1]."""
        start, length = input_pos.item(), embeds.shape[1]
        assert isinstance(start, int | torch.SymInt)
        torch._check(start >= 0)
        torch._check(start + length <= self.max_context)
        rope = self.rotation.at(start, length)
        x = embeds
        for layer in self.layers:
            x = layer(x, rope, start)
        return self.lm_head(self.norm(x[:, -1:]))


class ExportVisionAttention(nn.Module):
    """Self-attention over the patches of one image, batched over heads."""

    def __init__(self, attention: VisionAttention) -> None:
        super().__init__()
        self.q_proj, self.k_proj = attention.q_proj, attention.k_proj
        self.v_proj, self.out_proj = attention.v_proj, attention.out_proj
        self.num_heads, self.head_dim = attention.num_heads, attention.head_dim
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor([1 / math.sqrt(self.head_dim)]), persistent=False)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[1], self.num_heads, self.head_dim).permute(1, 0, 2)  # [H, P, K]

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``x`` [1, P, D] over P."""
        q, k, v = self._heads(self.q_proj(x) * self.scale), self._heads(self.k_proj(x)), self._heads(self.v_proj(x))
        weights = torch.softmax(torch.bmm(q, k.permute(0, 2, 1)), dim=-1)  # [H, P, P]
        mixed = torch.bmm(weights, v).permute(1, 0, 2).reshape(1, x.shape[1], -1)
        return self.out_proj(mixed)


class ExportVisionLayer(nn.Module):
    """One layer of CLIP's tower."""

    def __init__(self, layer: VisionLayer, means: Means) -> None:
        super().__init__()
        self.layer_norm1 = ExportLayerNorm(layer.layer_norm1, means)
        self.self_attn = ExportVisionAttention(layer.self_attn)
        self.layer_norm2 = ExportLayerNorm(layer.layer_norm2, means)
        self.fc1, self.fc2 = layer.mlp.fc1, layer.mlp.fc2
        self.slope: Tensor
        self.register_buffer("slope", torch.as_tensor(layer.mlp.slope).view(-1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x`` [1, P, D]."""
        x = x + self.self_attn(self.layer_norm1(x))
        hidden = self.fc1(self.layer_norm2(x))
        return x + self.fc2(hidden * torch.sigmoid(hidden * self.slope))


class VisionEncoderMethod(nn.Module):
    """``vision_encoder``: pixels in, image embeddings and CLIP's features out."""

    def __init__(self, encoder: VisionEncoder) -> None:
        super().__init__()
        tower = encoder.tower
        means = Means(tower.embeddings.class_embedding.numel())
        mean, std = torch.tensor(encoder.mean).view(1, 3, 1, 1), torch.tensor(encoder.std).view(1, 3, 1, 1)
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.patch_embedding = tower.embeddings.patch_embedding
        self.class_embedding = tower.embeddings.class_embedding
        self.position_embedding = tower.embeddings.position_embedding
        self.pre_layernorm = ExportLayerNorm(tower.pre_layrnorm, means)
        self.layers = nn.ModuleList(
            ExportVisionLayer(layer, means) for layer in tower.layers if isinstance(layer, VisionLayer)
        )
        patches = tower.embeddings.position_embedding.shape[0] - 1
        self.projector = export_projector(encoder.projector, patches)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [1, image tokens, D] and features [1, P, vision D] of ``pixels`` uint8 [1, 3, S, S]."""
        images = pixels.to(torch.float32) * self.scale + self.shift
        patches = self.patch_embedding(images).flatten(2).permute(0, 2, 1)  # [1, P, D]
        x = torch.cat([self.class_embedding.view(1, 1, -1), patches], dim=1) + self.position_embedding
        x = self.pre_layernorm(x)
        for layer in self.layers:
            x = layer(x)
        features = x[:, 1:]
        return self.projector(features), features


class TokenEmbeddingMethod(nn.Module):
    """``token_embedding``: ids in, embeddings out."""

    def __init__(self, model: MobileVLM) -> None:
        super().__init__()
        self.embedding = model.token_embedding

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings [1, T, D] of ``ids`` int64 [1, T]."""
        return self.embedding(ids)
