"""LLaVA's projector: linears with GELU between them; every patch becomes an image token (arXiv 2310.03744, section 3.3)."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.projector_config import ProjectorConfig


class MLPProjector(nn.Module):
    """Maps the tower's features [N, P, vision width] to image embeddings [N, P, LLM width]. Source: LLaVA's ``build_vision_projector``."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        widths = [config.input_size, *[config.hidden_size] * config.kind.linears]
        self.linears = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(widths))

    def forward(self, features: Tensor) -> Tensor:
        """Project ``features`` [N, P, vision width], patch by patch."""
        first, *rest = self.linears
        x: Tensor = first(features)
        for linear in rest:
            x = linear(functional.gelu(x))
        return x
