"""Turn attention's values inside each head, so that no channel is much larger than the others. Exact, and needs no data.

A head's values are mixed over positions, the same for all channels, so an orthogonal Q [K, K] passes through:
W_o (Σ a v) = (W_o Qᵀ) (Σ a Q v). Q is a Hadamard matrix with random signs, which spreads one channel evenly over all. Source:
QuaRot (arXiv 2404.00456, section 4), SpinQuant's R2 (arXiv 2405.16406, section 3.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mobilevlm_export.model.links import ChannelLink, weight

_SEED = 0  # fixed: an export is reproducible


@torch.no_grad()
def rotate_values(link: ChannelLink) -> None:
    """Turn the values of ``link``, of attention; both linears are float32."""
    turn, values, output = orthogonal(link.head_dim), link.producer, link.consumer
    values.weight = weight((turn @ values.weight.unflatten(0, (-1, link.head_dim))).flatten(0, 1))
    if values.bias is not None:
        values.bias = weight((values.bias.view(-1, link.head_dim) @ turn.T).flatten())
    output.weight = weight((output.weight.unflatten(1, (-1, link.head_dim)) @ turn.T).flatten(1))


def orthogonal(size: int) -> Tensor:
    """An orthogonal float32 [size, size] that mixes channels: Hadamard for a power of two, times a random one for the rest."""
    generator = torch.Generator().manual_seed(_SEED)
    power = size & -size
    hadamard = torch.ones(1, 1)
    while len(hadamard) < power:
        hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
    odd, _ = torch.linalg.qr(torch.randn(size // power, size // power, generator=generator))
    signs = torch.randint(0, 2, (size,), generator=generator) * 2.0 - 1
    return torch.kron(odd.contiguous(), hadamard / math.sqrt(power)) * signs
