"""LDPv2, the lightweight downsample projector: four vision tokens become one of the language model's.

Section 3.2 of the paper, in its words: feature transformation → token reduction → positional information
enhancement. Source: the authors' ``LDPNetV2Projector``. Letters: N images, P patches, D width, G grid side.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from mobilevlm_export.projector_config import ProjectorConfig


class LDPv2(nn.Module):
    """Maps the tower's features [N, P, vision width] to image embeddings [N, P / 4, LLM width]."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.input_size, config.hidden_size)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(config.hidden_size, config.hidden_size)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)
        self.peg = nn.Conv2d(
            config.hidden_size, config.hidden_size, kernel_size=3, padding=1, groups=config.hidden_size
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project ``features`` [N, P, vision width], P a square of an even number."""
        x = self.fc2(self.gelu(self.fc1(features)))  # feature transformation
        n, p, d = x.shape
        grid = math.isqrt(p)
        x = x.transpose(1, 2).reshape(n, d, grid, grid)
        x = self.pool(x)  # token reduction: [N, D, G/2, G/2]
        x = self.peg(x) + x  # positional information enhancement, with its residual
        return x.flatten(2).transpose(1, 2)
