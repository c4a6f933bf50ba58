"""Collect the inputs of linears for GPTQ, along the data path of the calibration set's images and texts.

They go through the tower, the projector and the decoder one layer at a time, each after everything before it is quantized. So memory holds
one layer in float32 and the states between two layers, and each layer is also fitted to the errors of those before it.

Letters: N images or texts, T tokens, P patches, D width, K inputs of a linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilevlm_export.model.mobilellama import rope_tables
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.apply import widen
from mobilevlm_export.quantize.calibration import CalibrationSet, CalibrationText

_IMAGES_AT_ONCE, _TEXTS_AT_ONCE = 4, 8  # a torch call dequantizes a weight once for all of them
# Linears of a layer with the same inputs, by the one whose inputs are recorded.
_DECODER_INPUTS = {
    "self_attn.q_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}
_TOWER_INPUTS = {
    "self_attn.q_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.out_proj": ("self_attn.out_proj",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
}


@dataclass(frozen=True)
class Batch:
    """States float32 [N, T, D], and how much each of their tokens counts, float32 [N, T]: 0 for padding."""

    states: Tensor
    weights: Tensor


class CalibratedInputs:
    """The inputs of the linears of ``model``: for each, in the order of the data path, the sum of their outer products."""

    def __init__(self, model: MobileVLM, found: CalibrationSet, progress: Progress = silent) -> None:
        self.description, self._texts = found.description, found.texts
        self._model, self._progress = model, progress
        self._tower: _Layers | None = None
        self._features: list[Tensor] | None = None  # each [N, P, vision D]
        self._decoder: _Layers | None = None

    @torch.inference_mode()
    def hessian(self, part: str, path: str) -> Tensor:
        """Float32 [K, K] for the linear at ``path`` in ``part`` (a key of :data:`mobilevlm_export.quantize.recipe.KNOBS`).

        Call it in the order of the data path, each after everything before it has its final weights.
        """
        if part == "vision":
            return self._tower_layers().hessian(path)
        if part == "projector":
            return self._projector_hessian(path)
        decoder = self._decoder_layers()
        return decoder.hessian(path) if path else _outer_products(self._head_batches(decoder.finished()))

    def _tower_layers(self) -> _Layers:
        if self._tower is None:
            encoder = self._model.vision_encoder
            widen(encoder.tower.embeddings)
            widen(encoder.tower.pre_layrnorm)
            batches = []
            for pixels in self._pixels("encode calibration images"):
                states = encoder.tower.pre_layrnorm(encoder.tower.embeddings(encoder.normalized(pixels)))
                batches.append(Batch(states, torch.ones(states.shape[:2])))
            tower = encoder.tower
            self._tower = _Layers(tower.layers, lambda layer, states: layer(states), _TOWER_INPUTS, batches)
        return self._tower

    def _projector_hessian(self, path: str) -> Tensor:
        projector = self._model.vision_encoder.projector
        widen(projector)
        seen: list[Batch] = []
        with _recorded(
            {path: projector.get_submodule(path)}, lambda _, x: seen.append(Batch(x, torch.ones(x.shape[:2])))
        ):
            for features in self._image_features():
                projector(features)
        return _outer_products(seen)

    def _image_features(self) -> list[Tensor]:
        if self._features is None:
            if self._tower is not None:
                self._features = [batch.states[:, 1:] for batch in self._tower.finished()]
                self._tower = None
            else:
                widen(self._model.vision_encoder.tower)
                found = self._pixels("encode calibration images")
                self._features = [self._model.vision_features(pixels) for pixels in found]
        return self._features

    def _decoder_layers(self) -> _Layers:
        if self._decoder is None:
            widen(self._model.vision_encoder.projector)
            images = torch.cat([self._model.vision_encoder.projector(each) for each in self._image_features()])
            self._features = None
            config = self._model.config.llm
            longest = max(len(text.before) + len(text.after) for text in self._texts) + images.shape[1]
            cos, sin = rope_tables(config, longest)

            def run(layer: nn.Module, states: Tensor) -> Tensor:
                length = states.shape[1]
                output: Tensor = layer(states, (cos[:length], sin[:length]), 0, None)
                return output

            batches = _text_batches(self._model, self._texts, images)
            layers = self._model.text_decoder.layers
            self._decoder = _Layers(layers, run, _DECODER_INPUTS, batches)
        return self._decoder

    def _head_batches(self, batches: Iterable[Batch]) -> list[Batch]:
        norm = self._model.text_decoder.norm
        widen(norm)
        return [Batch(norm(batch.states), batch.weights) for batch in batches]

    def _pixels(self, stage: str) -> Iterable[Tensor]:
        """The images' pixels uint8 [N, 3, S, S], a few at once."""
        for at in range(0, len(self._texts), _IMAGES_AT_ONCE):
            self._progress(stage, at, len(self._texts))
            yield torch.stack([text.pixels for text in self._texts[at : at + _IMAGES_AT_ONCE]])
        self._progress(stage, len(self._texts), len(self._texts))


class _Layers:
    """The states before one layer of a stack, which moves on as later layers' inputs are asked for."""

    def __init__(
        self,
        layers: nn.ModuleList,
        run: Callable[[nn.Module, Tensor], Tensor],
        shared: Mapping[str, Sequence[str]],
        batches: list[Batch],
    ) -> None:
        self._layers, self._run, self._shared = layers, run, shared
        self._batches = batches
        self._before = 0  # the layer whose inputs the batches are
        self._kept: dict[int, dict[str, Tensor]] = {}

    def hessian(self, path: str) -> Tensor:
        """For the linear at ``path``: ``layers.N.…``."""
        _, number, name = path.split(".", 2)
        index = int(number)
        self._advance(index)
        if index not in self._kept:
            self._kept = {index: self._layer_hessians(index)}
        return self._kept[index][next(kept for kept, names in self._shared.items() if name in names)]

    def finished(self) -> list[Batch]:
        """The states after the last layer."""
        self._advance(len(self._layers))
        return self._batches

    def _advance(self, index: int) -> None:
        while self._before < index:
            layer = self._layers[self._before]
            widen(layer)
            self._batches = [Batch(self._run(layer, batch.states), batch.weights) for batch in self._batches]
            self._before += 1
            self._kept = {}

    def _layer_hessians(self, index: int) -> dict[str, Tensor]:
        layer = self._layers[index]
        widen(layer)
        sums: dict[str, Tensor] = {}
        for batch in self._batches:

            def add(name: str, inputs: Tensor, weights: Tensor = batch.weights) -> None:
                found = _outer_products([Batch(inputs, weights)])
                sums[name] = sums[name] + found if name in sums else found

            with _recorded({name: layer.get_submodule(name) for name in self._shared}, add):
                self._run(layer, batch.states)
        return sums


@contextmanager
def _recorded(linears: Mapping[str, nn.Module], keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Meanwhile the inputs of ``linears`` are given to ``keep``, with the linear's name."""
    hooks = [
        linear.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, inputs[0]))
        for name, linear in linears.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _outer_products(batches: Iterable[Batch]) -> Tensor:
    """The sum of the outer products of all tokens' inputs, weighted."""
    total: Tensor | None = None
    for batch in batches:
        rows = (batch.states * batch.weights[..., None].sqrt()).flatten(0, -2)
        total = rows.T @ rows if total is None else torch.addmm(total, rows.T, rows)
    assert total is not None
    return total


def _text_batches(model: MobileVLM, texts: Sequence[CalibrationText], images: Tensor) -> list[Batch]:
    """Embeddings of ``texts`` with their ``images`` [N, tokens, D], padded at the end, where causal attention doesn't look.

    The image's tokens count as much as the text's in all: they are many and alike, and would else decide (MBQ, arXiv 2412.19509,
    section 3).
    """
    image_tokens = len(texts) * images.shape[1]
    text_tokens = sum(len(text.before) + len(text.after) for text in texts)
    half = (image_tokens + text_tokens) / 2
    image_weight, text_weight = half / image_tokens, half / text_tokens
    batches = []
    order = sorted(range(len(texts)), key=lambda at: len(texts[at].before) + len(texts[at].after))
    for begin in range(0, len(order), _TEXTS_AT_ONCE):
        states, weights = [], []
        for at in order[begin : begin + _TEXTS_AT_ONCE]:
            text, image = texts[at], images[at]
            states.append(model.embed([text.before, image, text.after])[0])
            weight = torch.full((len(states[-1]),), text_weight)
            weight[len(text.before) : len(text.before) + len(image)] = image_weight
            weights.append(weight)
        batches.append(Batch(*(nn.utils.rnn.pad_sequence(each, batch_first=True) for each in (states, weights))))
    return batches
