"""MobileLLaMA: LLaMA's decoder at phone size, over embeddings, with a static KV cache.

Letters: B batch, T tokens, C cache positions, D width, H heads, G key/value heads, K head width, V vocabulary.
Source: section 3.1 of the paper and transformers' ``LlamaForCausalLM`` (whose halves-rotated RoPE this is).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mobilevlm_export.config import LlamaConfig


class KVCache(nn.Module):
    """Keys and values of every position seen, in buffers [B, C, G, K] that are written in place."""

    def __init__(self, batch: int, max_context: int, config: LlamaConfig, like: Tensor) -> None:
        super().__init__()
        shape = (batch, max_context, config.num_kv_heads, config.head_dim)
        self.k: Tensor
        self.v: Tensor
        self.register_buffer("k", like.new_zeros(shape), persistent=False)
        self.register_buffer("v", like.new_zeros(shape), persistent=False)

    def update(self, start: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write ``k`` and ``v`` [B, T, G, K] at positions from ``start``; return all up to their end."""
        end = start + k.shape[1]
        self.k[:, start:end] = k
        self.v[:, start:end] = v
        return self.k[:, :end], self.v[:, :end]


def rope_tables(config: LlamaConfig, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE for positions 0 … ``length`` - 1, each float32 [length, K]."""
    frequencies = config.rope_theta ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    angles = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def apply_rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (i, i + K/2) of ``x`` [B, T, H, K] by its position's angle; ``cos``, ``sin`` [T, K]."""
    first, second = x.chunk(2, dim=-1)
    rotated = torch.cat([-second, first], dim=-1)
    return x * cos[:, None] + rotated * sin[:, None]


class RMSNorm(nn.Module):
    """Scale to unit root mean square, computed in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` [..., D]."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention with rotary positions; several heads may share a key/value head."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, self.num_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.num_kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.num_kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.num_heads * self.head_dim, config.hidden_size, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], start: int, cache: KVCache | None) -> Tensor:
        """Attend from ``x`` [B, T, D], at positions from ``start``, to every earlier position, cached or in ``x``."""
        b, t, _ = x.shape
        q = apply_rope(self.q_proj(x).view(b, t, self.num_heads, self.head_dim), *rope)
        k = apply_rope(self.k_proj(x).view(b, t, self.num_kv_heads, self.head_dim), *rope)
        v = self.v_proj(x).view(b, t, self.num_kv_heads, self.head_dim)
        if cache is not None:
            k, v = cache.update(start, k, v)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # [B, H or G, T or C, K]
        shared = self.num_heads // self.num_kv_heads
        if shared > 1:
            k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
        # A position sees those up to itself: the diagonal is shifted by the number of positions already cached.
        visible = torch.ones(t, k.shape[2], dtype=torch.bool, device=x.device).tril(k.shape[2] - t)
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=visible, scale=1 / math.sqrt(self.head_dim)
        )  # [B, H, T, K]
        return self.o_proj(mixed.transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [B, T, D] token by token."""
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], start: int, cache: KVCache | None) -> Tensor:
        """Refine ``x`` [B, T, D]."""
        x = x + self.self_attn(self.input_layernorm(x), rope, start, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class MobileLlama(nn.Module):
    """The text decoder: embeddings in, logits out."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.caches: list[KVCache] = []
        self.checkpoint_layers = False

    def setup_cache(self, batch: int = 1, max_context: int | None = None) -> None:
        """Allocate an empty KV cache of ``max_context`` positions (default: the longest context)."""
        length = max_context or self.config.max_position_embeddings
        self.caches = [KVCache(batch, length, self.config, self.norm.weight) for _ in self.layers]

    def forward(self, embeds: Tensor, input_pos: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of ``embeds`` float [B, T, D].

        ``input_pos``, int64 [1], is the position of the first embedding; earlier positions are read from the KV cache,
        which the first call allocates (:meth:`setup_cache`) if necessary. Without ``input_pos`` nothing is cached: the
        embeddings are the whole text, as in training.
        """
        return self.lm_head(self.hidden_states(embeds, input_pos))

    def hidden_states(self, embeds: Tensor, input_pos: Tensor | None = None) -> Tensor:
        """The normalized states [B, T, D] that ``lm_head`` reads; arguments as in :meth:`forward`."""
        start = 0 if input_pos is None else int(input_pos.item())
        if input_pos is not None and not self.caches:
            self.setup_cache(embeds.shape[0])
        end = start + embeds.shape[1]
        cos, sin = (table[start:end].to(embeds) for table in rope_tables(self.config, end))
        x = embeds
        for index, layer in enumerate(self.layers):
            cache = self.caches[index] if input_pos is not None else None
            if self.checkpoint_layers and self.training:
                x = checkpoint(layer, x, (cos, sin), start, cache, use_reentrant=False)
            else:
                x = layer(x, (cos, sin), start, cache)
        return self.norm(x)
