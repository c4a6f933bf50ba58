"""A tiny model with random weights, the same in every test."""

from __future__ import annotations

from dataclasses import replace

import torch

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.model import MobileVLM

VOCAB_SIZE = 340
_SIZES = MobileVLMConfig.tiny()
TINY = replace(_SIZES, llm=replace(_SIZES.llm, vocab_size=VOCAB_SIZE))


def random_model(seed: int = 0) -> MobileVLM:
    """A tiny model whose greedy answers vary."""
    torch.manual_seed(seed)
    model = MobileVLM(TINY).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return model
