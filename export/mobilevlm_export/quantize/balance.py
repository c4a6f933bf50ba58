"""Balance the channels between two linears, so that none stands out in the activations or in the weights. Exact.

Output channel j of the first linear is divided by s_j and column j of the second multiplied with it, s_j = a_j^½ / w_j^½: a_j is the
channel's magnitude, w_j the column's. SmoothQuant (arXiv 2211.10438, equation 4) measures a_j on data; here the weights alone
give it, as the root mean square for inputs that are independent and have unit variance, which a norm's outputs have. The result
doesn't depend on where the scale was before: any outlier that can be moved is undone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mobilevlm_export.model.links import ChannelLink
from mobilevlm_export.model.mobilellama import MLP
from mobilevlm_export.model.vision_encoder import VisionMLP

_STRENGTH = 0.5  # 1 would only even out the activations, 0 only the weights


@torch.no_grad()
def balance(link: ChannelLink, magnitude: Tensor) -> None:
    """Balance ``link``; its linears are float32. ``magnitude`` [C] is that of the producer's channels."""
    columns = link.consumer.weight.square().mean(dim=0)
    columns = columns.view(-1, link.readers, link.head_dim).mean(dim=1).flatten().sqrt()
    used = (magnitude > 0) & (columns > 0)  # the others have no scale to choose
    scale = torch.zeros_like(magnitude)
    scale[used] = magnitude[used].log() * _STRENGTH - columns[used].log() * (1 - _STRENGTH)
    link.move(scale.exp())


def value_magnitude(values: nn.Linear) -> Tensor:
    """The root mean square [C] of attention's values; the mixing over positions is the same for all channels of a head."""
    bias = 0 if values.bias is None else values.bias.square()
    return (values.weight.square().sum(dim=1) + bias).sqrt()


def swiglu_magnitude(mlp: MLP) -> Tensor:
    """The root mean square [C] of SwiGLU's output, silu(gate) · up, with gate and up independent."""
    gate, up = (linear.weight.norm(dim=1) for linear in (mlp.gate_proj, mlp.up_proj))
    return _rms_after(nn.functional.silu, torch.zeros_like(gate), gate) * up


def quick_gelu_magnitude(mlp: VisionMLP) -> Tensor:
    """The root mean square [C] of QuickGELU's output."""
    slope = torch.as_tensor(mlp.slope).view(-1, 1)
    return _rms_after(lambda x: x * torch.sigmoid(slope * x), mlp.fc1.bias, mlp.fc1.weight.norm(dim=1))


def _rms_after(activation: Callable[[Tensor], Tensor], mean: Tensor, deviation: Tensor) -> Tensor:
    """The root mean square of ``activation`` of normally distributed values, by a sum over 81 points."""
    at = torch.linspace(-5, 5, 81)
    weights = torch.exp(-at.square() / 2)
    values = activation(mean[:, None] + deviation[:, None] * at)  # [C, 81]
    return (values.square() @ (weights / weights.sum())).sqrt()
