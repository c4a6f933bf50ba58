"""Projectors in a form that XNNPACK can run whole, inside the vision encoder's delegate.

LDPv2 and MLPs are so already. In LDP, norms and the means of squeeze-and-excitation are linears, and the hard sigmoid is a clamp.
Letters: P patches, D width, G grid side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.lower.norm_modules import ExportLayerNorm, Means
from mobilevlm_export.model.ldp import LDP, InvertedResidual
from mobilevlm_export.model.projector import Projector


class ExportInvertedResidual(nn.Module):
    """A block of LDP for ``patches`` at its input."""

    def __init__(self, block: InvertedResidual, patches: int) -> None:
        super().__init__()
        means = Means(block.depthwise.out_channels)
        self.stride, self.grid = block.stride, math.isqrt(patches)
        self.depthwise, self.project = block.depthwise, block.project
        self.fc1, self.fc2 = block.excite.fc1, block.excite.fc2
        self.norm1, self.norm2 = ExportLayerNorm(block.norm1, means), ExportLayerNorm(block.norm2, means)
        self.pool = Means(patches // block.stride**2)
        self.slope: Tensor
        self.middle: Tensor
        self.register_buffer("slope", torch.tensor([1 / 6]), persistent=False)
        self.register_buffer("middle", torch.tensor([0.5]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``x`` [1, P, D]: [1, P, D], or [1, P / 4, D] with stride 2."""
        grid = x.permute(0, 2, 1).reshape(1, x.shape[2], self.grid, self.grid)
        mixed = self.norm1(self.depthwise(grid).flatten(2).permute(0, 2, 1))
        mixed = functional.hardswish(mixed)
        means = self.pool(mixed.permute(0, 2, 1)).permute(0, 2, 1)  # [1, 1, D]
        gates = self.fc2(functional.relu(self.fc1(means)))
        mixed = mixed * torch.clamp(gates * self.slope + self.middle, 0, 1)
        mixed = self.norm2(self.project(mixed))
        return mixed + x if self.stride == 1 else mixed


class ExportLDP(nn.Module):
    """LDP for ``patches`` patches."""

    def __init__(self, projector: LDP, patches: int) -> None:
        super().__init__()
        self.fc1, self.gelu, self.fc2 = projector.fc1, projector.gelu, projector.fc2
        self.mix = ExportInvertedResidual(projector.mix, patches)
        self.reduce = ExportInvertedResidual(projector.reduce, patches)

    def forward(self, features: Tensor) -> Tensor:
        """Project ``features`` [1, P, vision D]."""
        embeddings: Tensor = self.reduce(self.mix(self.fc2(self.gelu(self.fc1(features)))))
        return embeddings


def export_projector(projector: Projector, patches: int) -> nn.Module:
    """``projector`` for ``patches`` patches, sharing its weights."""
    return ExportLDP(projector, patches) if isinstance(projector, LDP) else projector


def mean_linears(projector: Projector) -> int:
    """The number of linears that :func:`export_projector` adds for means: two for each norm, and one for each pooling."""
    blocks = sum(isinstance(module, InvertedResidual) for module in projector.modules())
    return blocks * (2 * 2 + 1)
