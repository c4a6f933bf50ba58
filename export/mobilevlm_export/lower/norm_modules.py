"""Norms in a form that XNNPACK can run inside a delegate: a mean is a linear with the constant row 1/D.

Letters: T tokens, P patches, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.model.mobilellama import RMSNorm


class Means(nn.Module):
    """The mean over the last dimension as a linear, [..., D] → [..., 1]; a method shares one instance."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.row: Tensor
        self.register_buffer("row", torch.full((1, size), 1 / size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``x`` [..., D]."""
        return functional.linear(x, self.row)


class ExportRMSNorm(nn.Module):
    """RMSNorm with the weight of ``norm``."""

    def __init__(self, norm: RMSNorm, means: Means) -> None:
        super().__init__()
        self.weight, self.means = norm.weight, means
        self.eps: Tensor
        self.register_buffer("eps", torch.tensor([norm.eps]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` [1, T, D]."""
        return x * torch.rsqrt(self.means(x * x) + self.eps) * self.weight


class ExportLayerNorm(nn.Module):
    """LayerNorm with the weight and bias of ``norm``."""

    def __init__(self, norm: nn.LayerNorm, means: Means) -> None:
        super().__init__()
        self.weight, self.bias, self.means = norm.weight, norm.bias, means
        self.eps: Tensor
        self.register_buffer("eps", torch.tensor([norm.eps]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` [1, P, D]."""
        x = x - self.means(x)
        return x * torch.rsqrt(self.means(x * x) + self.eps) * self.weight + self.bias
