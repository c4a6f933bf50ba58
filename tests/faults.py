"""Faults that peers have had, to be found by parity: in a model, in the use of its KV cache, in what a phone feeds it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from mobilevlm_export.model import MobileVLM
from mobilevlm_host.parity.phone import PhoneInputs


class EagerEngine:
    """A model behind parity's engine: what a bundle would compute if the lowering were perfect."""

    def __init__(self, model: MobileVLM, phone: PhoneInputs) -> None:
        self.model, self.phone = model, phone

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.vision_encoder(pixels), self.model.vision_features(pixels)

    def token_embedding(self, ids: Tensor) -> Tensor:
        return self.model.token_embedding(ids)

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        if position == 0:
            self.model.text_decoder.setup_cache()
        return self.model.text_decoder(embeds, torch.tensor([position]))[0, -1]

    def answer(self, image: Image.Image, question: str, max_new_tokens: int) -> list[int]:
        before, after = self.phone.ids(question)
        return self.model.generate([before, self.phone.pixels(image), after], max_new_tokens)


class ShiftedPositions(EagerEngine):
    """Decodes one position too late."""

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        return super().text_decoder(embeds, position + (position > 0))


class DroppedCacheWrite(EagerEngine):
    """Forgets what decode writes to the KV cache of the first layer."""

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        logits = super().text_decoder(embeds, position)
        if position > 0:
            cache = self.model.text_decoder.caches[0]
            for kept in (cache.k, cache.v):
                kept[:, position : position + embeds.shape[1]] = 0
        return logits


def _lose_residual(model: MobileVLM) -> None:
    projector = model.vision_encoder.projector
    for weight in projector.parameters():
        if weight.ndim == 4:
            weight.data[:, :, 1, 1] -= 1  # the residual is a one in the middle of the kernel


def _swap_layers(layers: torch.nn.ModuleList) -> None:
    layers[0], layers[1] = layers[1], layers[0]


# What is wrong → the stage that must be named, and how it is done to a model.
IN_THE_MODEL: dict[str, tuple[str, Callable[[MobileVLM], object]]] = {
    "LDPv2's residual lost": ("projector", _lose_residual),
    "another mean": ("vision_encoder", lambda m: setattr(m.vision_encoder, "mean", (0.5, 0.5, 0.5))),
    "another std": ("vision_encoder", lambda m: setattr(m.vision_encoder, "std", (0.5, 0.5, 0.5))),
    "vision layers swapped": ("vision_encoder", lambda m: _swap_layers(m.vision_encoder.tower.layers)),
    "embedding scale off": ("token_embedding", lambda m: m.token_embedding.weight.data.mul_(1.05)),
    "decoder layers swapped": ("prefill", lambda m: _swap_layers(m.text_decoder.layers)),
}
