"""A tiny model with random weights, the same in every test."""

from __future__ import annotations

from dataclasses import replace

import torch

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.model import MobileVLM

VOCAB_SIZE = 340
# One of each kind of projector.
PROJECTORS = ("ldpnetv2", "ldpnet", "mlp2x_gelu", "linear")


def tiny_config(projector_type: str = "ldpnetv2") -> MobileVLMConfig:
    """Tiny sizes with the tests' tokenizer."""
    sizes = MobileVLMConfig.tiny(projector_type)
    return replace(sizes, llm=replace(sizes.llm, vocab_size=VOCAB_SIZE))


TINY = tiny_config()


def random_model(seed: int = 0, projector_type: str = "ldpnetv2") -> MobileVLM:
    """A tiny model whose greedy answers vary."""
    torch.manual_seed(seed)
    model = MobileVLM(tiny_config(projector_type)).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


@torch.inference_mode()
def outputs(model: MobileVLM) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of an image, and the logits of a prompt with it."""
    pixels = torch.randint(0, 256, (3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    return model.vision_features(pixels[None]), model.text_decoder(model.embed([[1, 9, 200], pixels, [30, 31, 32]]))
