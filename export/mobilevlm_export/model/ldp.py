"""LDP, the lightweight downsample projector of the first MobileVLM: 576 patches become 144 image tokens.

Section 3.3 of the paper (arXiv 2312.16886): two linears, then two inverted residual blocks as in MobileNetV3, the second
with stride 2. Source: the authors' ``LDPBlock``, torchvision's ``InvertedResidual`` and timm's ``LayerNormAct2d``. The
1 × 1 convolutions are linears here, so that they can be quantized. Letters: N images, P patches, D width, G grid side.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.projector_config import ProjectorConfig

EPS = 1e-5
_SQUEEZE = 4
_MULTIPLE = 8  # of channels, in MobileNetV3


def squeezed(width: int) -> int:
    """The channels inside squeeze-and-excitation: a quarter of ``width``, as a multiple of 8, and never 10 % less than a quarter."""
    quarter = width // _SQUEEZE
    rounded = max(_MULTIPLE, (quarter + _MULTIPLE // 2) // _MULTIPLE * _MULTIPLE)
    return rounded + _MULTIPLE if rounded < 0.9 * quarter else rounded


class SqueezeExcitation(nn.Module):
    """Scales each channel by a number in [0, 1], computed from the means of all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, squeezed(width))
        self.fc2 = nn.Linear(squeezed(width), width)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of ``x`` [N, P, D]."""
        means = x.mean(dim=1, keepdim=True)  # [N, 1, D]
        return x * functional.hardsigmoid(self.fc2(functional.relu(self.fc1(means))))


class InvertedResidual(nn.Module):
    """Depthwise convolution → squeeze and excitation → projection, plus the input if ``stride`` is 1."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, groups=width, bias=False)
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.excite = SqueezeExcitation(width)
        self.project = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Mix ``x`` [N, P, D], P a square: [N, P, D], or [N, P / 4, D] with stride 2."""
        n, p, d = x.shape
        grid = math.isqrt(p)
        mixed = self.depthwise(x.transpose(1, 2).reshape(n, d, grid, grid)).flatten(2).transpose(1, 2)
        mixed = self.excite(functional.hardswish(self.norm1(mixed)))
        mixed = self.norm2(self.project(mixed))
        return mixed + x if self.stride == 1 else mixed


class LDP(nn.Module):
    """Maps the tower's features [N, P, vision width] to image embeddings [N, P / 4, LLM width]."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.fc1 = nn.Linear(config.input_size, width)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(width, width)
        self.mix = InvertedResidual(width, stride=1)
        self.reduce = InvertedResidual(width, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """Project ``features`` [N, P, vision width], P a square of an even number."""
        embeddings: Tensor = self.reduce(self.mix(self.fc2(self.gelu(self.fc1(features)))))
        return embeddings
