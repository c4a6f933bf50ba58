"""CLIP's vision tower, as MobileVLM uses it: pixels in, the patches' features out.

Letters: N images, P patches, D width, H heads, K head width. Source: transformers' ``CLIPVisionModel`` and section
3.1 of the paper. MobileVLM reads ``hidden_states[-2]``, so the last encoder layer and ``post_layernorm``
never run and are not built.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mobilevlm_export.config import VisionConfig


class PatchEmbedding(nn.Module):
    """Patches of the image as vectors, with a class token in front and learned positions."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(config.hidden_size) * 0.02)
        self.patch_embedding = nn.Conv2d(
            3, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size, bias=False
        )
        self.position_embedding = nn.Parameter(torch.randn(config.num_patches + 1, config.hidden_size) * 0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalized ``images`` [N, 3, S, S] as [N, 1 + P, D]."""
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)  # [N, P, D]
        class_token = self.class_embedding.expand(images.shape[0], 1, -1)  # [N, 1, D]
        return torch.cat([class_token, patches], dim=1) + self.position_embedding


class VisionAttention(nn.Module):
    """Self-attention over all patches, every projection with a bias."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.head_dim = config.hidden_size // config.num_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``x`` [N, P, D] over P."""
        n, p, d = x.shape
        q, k, v = (
            project(x).view(n, p, self.num_heads, self.head_dim).transpose(1, 2).flatten(0, 1)  # [N * H, P, K]
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        # Written out because the fused operator lowers to a safe softmax that no delegate supports.
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.head_dim), dim=-1)  # [N * H, P, P]
        mixed = torch.bmm(weights, v).view(n, self.num_heads, p, self.head_dim)
        return self.out_proj(mixed.transpose(1, 2).reshape(n, p, d))


class VisionMLP(nn.Module):
    """Two linears with QuickGELU between, CLIP's own approximation.

    ``slope`` is QuickGELU's. Rewrites for quantization give each channel its own, float32 [C].
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.slope: float | Tensor = 1.702

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x`` [N, P, D] patch by patch."""
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(self.slope * x))


class VisionLayer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = VisionAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = VisionMLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """Refine ``x`` [N, P, D]."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class CLIPVisionTower(nn.Module):
    """The tower up to the layer whose hidden state MobileVLM reads."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.embeddings = PatchEmbedding(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)  # sic: CLIP's own spelling
        self.layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_run_layers))

    def forward(self, images: Tensor) -> Tensor:
        """Features of normalized ``images`` [N, 3, S, S]: float [N, P, D], without the class token."""
        x = self.pre_layrnorm(self.embeddings(images))
        for layer in self.layers:
            x = layer(x)
        return x[:, 1:]
