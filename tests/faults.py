"""Faults seen in other projects, which parity must find: in a model, in the use of its KV cache, in a phone's inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mobilevlm_export.lower.modules import Rotation, TextDecoderMethod
from mobilevlm_export.model import MobileVLM
from mobilevlm_host.ask.phone_inputs import PhoneInputs


class EagerEngine:
    """The eager model as parity's engine: what a bundle with perfect lowering would compute."""

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
    """Drops what decode writes to the KV cache of the first layer."""

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


def quantized_scale_off(factor: float) -> Callable[[MobileVLM], object]:
    """Multiplies the scales of a quantized embedding."""

    def inject(model: MobileVLM) -> None:
        weight: Any = model.token_embedding.weight
        weight.scale.mul_(factor)

    return inject


class _LateRotation(Rotation):
    """Rotates by the angles of the next position if ``late``, a tensor of one element, is 1."""

    def at(self, start: int | torch.SymInt, length: int) -> tuple[Tensor, Tensor]:
        cos, sin = super().at(start, length)
        next_cos, next_sin = super().at(start + 1, length)
        return cos + (next_cos - cos) * self.late[-1], sin + (next_sin - sin) * self.late[-1]

    def __init__(self, decoder: Any, max_context: int) -> None:
        super().__init__(decoder.config, max_context + 1)
        self.late: list[Tensor] = []


class LateProgram(TextDecoderMethod):
    """Decodes one position too late. Prefill doesn't: RoPE can't tell a shift of all positions alike from none."""

    def __init__(self, decoder: Any, max_context: int) -> None:
        super().__init__(decoder, max_context)
        self.rotation = _LateRotation(decoder, max_context)
        for layer in self.layers:
            layer.self_attn.rotation = self.rotation

    def forward(self, embeds: Tensor, input_pos: Tensor) -> Tensor:
        self.rotation.late.append((input_pos > 0).to(torch.float32))
        return super().forward(embeds, input_pos)


class _Forgotten(torch.nn.Module):
    """A layer's values where ``kept``; values not written to the KV cache stay zero there."""

    def __init__(self, v_proj: torch.nn.Module) -> None:
        super().__init__()
        self.v_proj, self.kept = v_proj, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        return self.v_proj(x) * self.kept[-1]


class ForgetfulProgram(TextDecoderMethod):
    """Drops the values that decode writes to the KV cache of the first layer."""

    def __init__(self, decoder: Any, max_context: int) -> None:
        super().__init__(decoder, max_context)
        attention: Any = self.layers[0].self_attn
        attention.v_proj = _Forgotten(attention.v_proj)

    def forward(self, embeds: Tensor, input_pos: Tensor) -> Tensor:
        attention: Any = self.layers[0].self_attn
        attention.v_proj.kept.append((input_pos == 0).to(torch.float32))
        return super().forward(embeds, input_pos)


# What is wrong → the stage that must be named, and the program that is exported.
IN_THE_PROGRAM: dict[str, tuple[str, type[TextDecoderMethod]]] = {
    "decode's position off by one": ("decode", LateProgram),
    "decode's cache write dropped": ("decode", ForgetfulProgram),
}
