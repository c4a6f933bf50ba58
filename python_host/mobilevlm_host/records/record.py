"""The results of each stage for one question to a bundle, small enough to store: in a golden record or a phone's capture.

Image embeddings are stored as a sketch (norm and 64 values spread evenly over the flattened tensor), the first step's logits
as the ten largest. Another machine recomputes and compares them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export.errors import CaptureError
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.methods import Methods, prefill

SKETCH_VALUES = 64
TOP_LOGITS = 10
_STOPS = ("eos", "length", "stopped")


@dataclass(frozen=True)
class Sketch:
    """A tensor's shape, Euclidean norm, and values at the flat indices ``i * size // 64``."""

    shape: tuple[int, ...]
    norm: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Sketch:
        """The sketch of ``tensor``, with figures to six digits."""
        flat = tensor.detach().double().flatten()
        picked = [int(index) * flat.numel() // SKETCH_VALUES for index in range(SKETCH_VALUES)]
        return cls(tuple(tensor.shape), _rounded(float(flat.norm())), tuple(_rounded(float(flat[i])) for i in picked))


@dataclass(frozen=True)
class TopLogits:
    """The ten largest logits, largest first, and their token ids."""

    token_ids: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, logits: Tensor) -> TopLogits:
        """The ten largest of ``logits`` [V]."""
        values, ids = logits.topk(min(TOP_LOGITS, logits.numel()))
        return cls(tuple(ids.tolist()), tuple(_rounded(value) for value in values.tolist()))


@dataclass(frozen=True)
class Record:
    """One question about one image. ``answer_ids`` is None if the engine only returns text; hashes are SHA-256."""

    question: str
    max_new_tokens: int
    pixels_sha256: str
    ids_before_image: tuple[int, ...]
    ids_after_image: tuple[int, ...]
    image_embedding: Sketch
    first_logits: TopLogits
    answer: str
    answer_ids: tuple[int, ...] | None
    stop_reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain data with the same names."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, where: str) -> Record:
        """The record from the values of :meth:`to_json` in the file ``where``.

        Raises:
            CaptureError: a field is missing or of another type.
        """
        if not isinstance(values, dict):
            raise CaptureError(f"{where}: got {values!r:.60}, expected an object")
        take = _FieldReader(values, where)
        answer_ids = None if values.get("answer_ids") is None else take.numbers("answer_ids", int)
        embedding, logits = (
            _FieldReader(take.object_(name), f"{where}: {name}") for name in ("image_embedding", "first_logits")
        )
        record = cls(
            question=take.text("question"),
            max_new_tokens=take.number("max_new_tokens", int),
            pixels_sha256=take.text("pixels_sha256"),
            ids_before_image=take.numbers("ids_before_image", int),
            ids_after_image=take.numbers("ids_after_image", int),
            image_embedding=Sketch(
                embedding.numbers("shape", int), embedding.number("norm", float), embedding.numbers("values", float)
            ),
            first_logits=TopLogits(logits.numbers("token_ids", int), logits.numbers("values", float)),
            answer=take.text("answer"),
            answer_ids=answer_ids,
            stop_reason=take.text("stop_reason"),
        )
        if record.stop_reason not in _STOPS:
            raise CaptureError(f"{where}: stop_reason: got {record.stop_reason!r}, expected one of {', '.join(_STOPS)}")
        if len(record.image_embedding.values) != SKETCH_VALUES:
            raise CaptureError(
                f"{where}: image_embedding: got {len(record.image_embedding.values)} values, expected 64"
            )
        if not record.first_logits.values or len(record.first_logits.values) != len(record.first_logits.token_ids):
            raise CaptureError(f"{where}: first_logits: got unequal or empty lists, expected a value for each token id")
        return record


@torch.inference_mode()
def make_record(
    runner: Runner, methods: Methods, phone: PhoneInputs, image: Image, question: str, max_new_tokens: int
) -> Record:
    """Ask ``question`` about ``image`` (RGB): the answer of the C++ ``runner``, and the results of each method.

    Raises:
        RunnerError: the question and ``max_new_tokens`` don't fit the bundle's context.
    """
    for _ in runner.ask(image, question, max_new_tokens=max_new_tokens):
        pass
    pixels, (before, after) = phone.pixels(image), phone.ids(question)
    embedding, _ = methods.vision_encoder(pixels[None])
    logits = prefill(methods, prompt_embeds(methods, before, embedding, after), runner.manifest.max_prefill)
    answer = runner.answer
    return Record(
        question=question,
        max_new_tokens=max_new_tokens,
        pixels_sha256=pixels_sha256(pixels),
        ids_before_image=tuple(before),
        ids_after_image=tuple(after),
        image_embedding=Sketch.of(embedding),
        first_logits=TopLogits.of(logits),
        answer=answer.text,
        answer_ids=None if answer.token_ids is None else tuple(answer.token_ids),
        stop_reason=answer.stop_reason,
    )


def pixels_sha256(pixels: Tensor) -> str:
    """SHA-256 of ``pixels`` uint8 [3, S, S]: all red rows, then green, then blue."""
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()


def prompt_embeds(methods: Methods, before: Sequence[int], image: Tensor, after: Sequence[int]) -> Tensor:
    """Embeddings [1, T, D] of the ids ``before``, ``image`` [1, N, D] and the ids ``after``, from ``methods``."""
    texts = [methods.token_embedding(torch.tensor([list(ids)])) for ids in (before, after)]
    return torch.cat([texts[0], image, texts[1]], dim=1)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


class _FieldReader:
    """Reads typed fields of a JSON object; errors name the field."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def text(self, name: str) -> str:
        return str(self._typed(name, str, "a string"))

    def object_(self, name: str) -> dict[str, Any]:
        return dict(self._typed(name, dict, "an object"))

    def number(self, name: str, kind: type) -> Any:
        got = self.values.get(name)
        if not _is_number(got, kind):
            raise CaptureError(f"{self.where}: {name}: got {got!r:.60}, expected a number")
        return kind(got)

    def numbers(self, name: str, kind: type) -> tuple[Any, ...]:
        got = self._typed(name, list, "a list of numbers")
        if not all(_is_number(item, kind) for item in got):
            raise CaptureError(f"{self.where}: {name}: got {got!r:.60}, expected a list of numbers")
        return tuple(kind(item) for item in got)

    def _typed(self, name: str, kind: type, expected: str) -> Any:
        got = self.values.get(name)
        if not isinstance(got, kind):
            raise CaptureError(f"{self.where}: {name}: got {got!r:.60}, expected {expected}")
        return got


def _is_number(value: Any, kind: type) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float) if kind is float else int)
