"""Fold each norm's gain, bias and mean into the linears that read it. Exact, and needs no data.

A norm is n(x) · g + b. A linear behind it computes W (n(x) · g + b) + c = (W diag(g)) n(x) + (W b + c), so the norm can have gain 1
and bias 0. Channels with a large gain would otherwise decide the step of the 8-bit activations. LayerNorm's n(x) has mean 0,
so the mean of each row of W meets nothing and is removed. Source: QuaRot (arXiv 2404.00456, section 4, stage 1a), SliceGPT
(arXiv 2401.15024, section 3.2).
"""

from __future__ import annotations

import torch
from torch import nn

from mobilevlm_export.model.links import NormLink, weight


@torch.no_grad()
def fold_norm(link: NormLink) -> None:
    """Fold ``link``'s norm into its linears; all of them are float32."""
    norm = link.norm
    for linear in link.linears:
        columns = linear.weight * norm.weight
        if isinstance(norm, nn.LayerNorm):
            linear.bias = weight(linear.bias + linear.weight @ norm.bias)
            columns -= columns.mean(dim=1, keepdim=True)
        linear.weight = weight(columns)
    norm.weight = weight(torch.ones_like(norm.weight))
    if isinstance(norm, nn.LayerNorm):
        norm.bias = weight(torch.zeros_like(norm.bias))
