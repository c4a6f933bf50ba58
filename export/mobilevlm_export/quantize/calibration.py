"""Collect the inputs of the text decoder's linears for GPTQ, from real images and the real prompt.

The texts go through the decoder one layer at a time, each after all layers before it are quantized. So memory holds one layer in
float32 and the states between two layers, and each layer is also fitted to the errors of those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.questions import questions
from mobilevlm_export.demo.scenes import TRAIN_SEEDS, make_scene, render
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.model.mobilellama import DecoderLayer, rope_tables
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.pixels import open_images, preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.apply import widen
from mobilevlm_export.tokenizer import Tokenizer

SCENES = 128
_QUESTIONS = ("Describe the image.", "What is in the picture?", "What color is it?", "How many are there?")
# Linears of a layer with the same inputs, by the one whose inputs are recorded.
_SHARED_INPUTS = {
    "self_attn.q_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}


@dataclass(frozen=True)
class CalibrationText:
    """Token ids before and after an image, and its ``pixels`` uint8 [3, S, S]."""

    before: Sequence[int]
    pixels: Tensor
    after: Sequence[int]


@dataclass(frozen=True)
class CalibrationSet:
    """Texts with images, and a description of them for the bundle's manifest."""

    description: str
    texts: Sequence[CalibrationText]


def scenes(tokenizer: Tokenizer, config: MobileVLMConfig) -> CalibrationSet:
    """Generated scenes from the demo's training seeds (none held out), each with a question and its correct answer."""
    texts = []
    for seed in TRAIN_SEEDS[-SCENES:]:
        scene = make_scene(seed)
        [qa] = questions(scene, seed, count=1)
        answer = [*tokenizer.encode(qa.answer), config.eos_id]
        texts.append(_text(tokenizer, config, render(scene), qa.question, answer))
    return CalibrationSet(f"{SCENES} generated scenes", texts)


def read_folder(folder: Path, tokenizer: Tokenizer, config: MobileVLMConfig) -> CalibrationSet:
    """Every image in ``folder``, sorted by name, each with one of a few questions.

    Raises:
        QuantizeError: the folder is missing or contains no image.
    """
    if not folder.is_dir():
        raise QuantizeError(f"{folder}: no such folder, expected images to calibrate with")
    texts = [
        _text(tokenizer, config, image, _QUESTIONS[at % len(_QUESTIONS)], [])
        for at, (_, image) in enumerate(open_images(folder))
    ]
    if not texts:
        raise QuantizeError(f"{folder}: got no image that can be opened, expected at least one to calibrate with")
    return CalibrationSet(f"{len(texts)} pictures of {folder.name}", texts)


def _text(
    tokenizer: Tokenizer, config: MobileVLMConfig, image: Image, question: str, answer: list[int]
) -> CalibrationText:
    before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(question)])
    assert isinstance(before, list)
    assert isinstance(after, list)
    return CalibrationText(before, preprocess(image, config), after + answer)


class DecoderInputs:
    """The inputs of the text decoder of ``model``: for each linear, in order, the sum of their outer products."""

    def __init__(self, model: MobileVLM, found: CalibrationSet, progress: Progress = silent) -> None:
        self.description, self._texts = found.description, found.texts
        self._model, self._decoder, self._progress = model, model.text_decoder, progress
        self._states: list[Tensor] = []  # each [1, T, D], before layer self._layer
        self._layer = 0
        self._kept: dict[int, Mapping[str, Tensor]] = {}

    @torch.inference_mode()
    def hessian(self, path: str) -> Tensor:
        """Float32 [K, K] for the decoder's linear ``path``: ``layers.N.…``, or empty for ``lm_head``.

        Call it in the order of layers, each after the embedding and all layers before it have their final weights.
        """
        if not self._states:
            self._read()
        layers = self._decoder.layers
        index, name = (int(path.split(".")[1]), path.split(".", 2)[2]) if path else (len(layers), "")
        while self._layer < index:
            self._states = [self._run(self._layer, state) for state in self._states]
            self._layer += 1
        if index not in self._kept:
            self._kept = {index: self._layer_hessians() if path else {"": self._head_hessian()}}
            self._progress("calibrate", index, len(layers))
        return self._kept[index][name]

    def _read(self) -> None:
        for done, text in enumerate(self._texts):
            self._progress("read calibration images", done, len(self._texts))
            self._states.append(self._model.embed([text.before, text.pixels, text.after]))
        self._progress("read calibration images", len(self._texts), len(self._texts))

    def _run(self, index: int, state: Tensor) -> Tensor:
        layer = self._decoder.layers[index]
        widen(layer)
        output: Tensor = layer(state, rope_tables(self._decoder.config, state.shape[1]), 0, None)
        return output

    def _layer_hessians(self) -> dict[str, Tensor]:
        layer = self._decoder.layers[self._layer]
        assert isinstance(layer, DecoderLayer)
        sums: dict[str, Tensor] = {}

        def keep(name: str, inputs: Tensor) -> None:
            rows = inputs.flatten(0, -2)
            sums[name] = torch.addmm(sums[name], rows.T, rows) if name in sums else rows.T @ rows

        hooks = [
            layer.get_submodule(kept).register_forward_pre_hook(lambda _, inputs, kept=kept: keep(kept, inputs[0]))
            for kept in _SHARED_INPUTS
        ]
        try:
            for state in self._states:
                self._run(self._layer, state)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: sums[kept] for kept, names in _SHARED_INPUTS.items() for name in names}

    def _head_hessian(self) -> Tensor:
        widen(self._decoder.norm)
        rows = torch.cat([self._decoder.norm(state)[0] for state in self._states])
        return rows.T @ rows
