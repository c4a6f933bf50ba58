"""Run one sample through the fp32 model and a bundle, and compare them stage by stage.

Every stage is fed the fp32 model's input, so that a fault shows where it is and not in all later stages. The projector runs in
one method with the tower: its reference is the fp32 projector over the features that the bundle itself computed. Decoding
is also compared with the bundle's own prefill: a position off by one, or a lost cache write, can hide in the noise of
quantization, but not there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.engines.methods import Methods, prefill
from mobilevlm_host.parity.metrics import Distance, LogitDistance, distance, logit_distance

DECODE_STEPS = 32  # after prefill
_MAX_NEW_TOKENS = 48
_OWN_PREFILL_AFTER = (2, DECODE_STEPS)  # decoded tokens

# Greedy token ids of the answer to a question about an image (RGB); the last argument is the maximum number of tokens.
Answers = Callable[[Image, str, int], list[int]]


@dataclass(frozen=True)
class Sample:
    """An image (RGB) with its name, and a question about it."""

    name: str
    image: Image
    question: str


@dataclass(frozen=True)
class ComparedImage:
    """The comparison of one image, for all questions about it: the encoded ``pixels`` uint8 [3, S, S], the fp32 model's ``embeds``
    [P / 4, D], and the distances and token errors as in :class:`Measured`.
    """

    pixels: Tensor
    embeds: Tensor
    tensors: Mapping[str, Distance]
    token_errors: tuple[float, ...]


@dataclass(frozen=True)
class ComparedAnswer:
    """Greedy token ids and their text, split into three: before, at and after the first token that differs from the other answer."""

    ids: tuple[int, ...]
    before: str
    at: str
    after: str

    @property
    def text(self) -> str:
        """The whole answer."""
        return self.before + self.at + self.after


@dataclass(frozen=True)
class Measured:
    """The results for one sample. ``pixels``, uint8 [3, S, S], are the vision encoders' input. ``tensors`` has a distance for pixels,
    vision_encoder, projector, token_embedding, prefill and, if anything was decoded, decode (all logits as one tensor);
    ``logits`` are for the prompt's last token and each decoded one;
    ``own_prefill_snr_db`` is the lowest of decoded logits compared with the bundle's own prefill (None if nothing was decoded);
    ``token_errors`` is, for each image token, the error of its embedding relative to the embedding's length.
    """

    sample: Sample
    pixels: Tensor
    tensors: Mapping[str, Distance]
    same_ids: bool
    logits: LogitDistance
    own_prefill_snr_db: float | None
    token_errors: tuple[float, ...]
    expected: ComparedAnswer
    answer: ComparedAnswer

    @property
    def same_answer(self) -> bool:
        """Whether both gave the same token ids."""
        return self.expected.ids == self.answer.ids


@torch.inference_mode()
def compare_image(model: MobileVLM, methods: Methods, phone: PhoneInputs, image: Image) -> ComparedImage:
    """Compare the results of ``methods`` and ``phone`` for ``image`` (RGB) with the fp32 ``model``."""
    pixels = preprocess(image, model.config)
    features, (shown, their_features) = model.vision_features(pixels[None]), methods.vision_encoder(pixels[None])
    projector = model.vision_encoder.projector
    embeds = projector(features)[0]
    tensors = {
        "pixels": distance(pixels, phone.pixels(image)),
        "vision_encoder": distance(features, their_features),
        "projector": distance(projector(their_features), shown),
    }
    return ComparedImage(pixels, embeds, tensors, _token_errors(embeds, shown[0]))


@torch.inference_mode()
def measure(
    model: MobileVLM,
    tokenizer: Tokenizer,
    methods: Methods,
    answer: Answers,
    phone: PhoneInputs,
    sample: Sample,
    seen: ComparedImage,
    *,
    max_context: int,
    max_prefill: int,
) -> Measured:
    """Compare ``methods``, ``answer`` and ``phone`` with the fp32 ``model`` on ``sample``, whose image gave ``seen``.

    Raises:
        ParityError: the sample leaves no room for an answer in ``max_context`` tokens.
    """
    before, after = prompt.first_turn_ids(tokenizer, sample.question)
    text = torch.tensor([before + after])
    prompted = model.embed([before, seen.embeds, after])
    room = max_context - prompted.shape[1]
    if room < 1:
        raise ParityError(
            f"{sample.name}: got a prompt of {prompted.shape[1]} tokens, expected less than the context, {max_context}"
        )
    new_tokens = min(_MAX_NEW_TOKENS, room)
    decoded = _decode(model, methods, prompted, min(1 + DECODE_STEPS, room), new_tokens, max_prefill)
    given = answer(sample.image, sample.question, new_tokens)
    return Measured(
        sample=sample,
        pixels=seen.pixels,
        tensors={
            **seen.tensors,
            "token_embedding": distance(model.token_embedding(text), methods.token_embedding(text)),
            "prefill": distance(decoded.ours[:1], decoded.theirs[:1]),
            **({"decode": distance(decoded.ours[1:], decoded.theirs[1:])} if len(decoded.ours) > 1 else {}),
        },
        same_ids=(before, after) == phone.ids(sample.question) == phone.model_ids(sample.question),
        logits=logit_distance(decoded.ours, decoded.theirs),
        own_prefill_snr_db=min((each.snr_db for each in decoded.own_prefill), default=None),
        token_errors=seen.token_errors,
        expected=_answer(tokenizer, decoded.answer, given),
        answer=_answer(tokenizer, given, decoded.answer),
    )


@dataclass(frozen=True)
class GreedyRun:
    """The fp32 model's greedy decoding of a prompt: embeddings [1, T + steps - 1, D] of prompt and tokens, logits [steps, V], the
    tokens' ids, and the ids of the answer (without end-of-text).
    """

    embeds: Tensor
    logits: Tensor
    greedy_ids: list[int]
    answer: list[int]


@torch.inference_mode()
def greedy_run(model: MobileVLM, embeds: Tensor, steps: int, new_tokens: int) -> GreedyRun:
    """Decode ``steps`` tokens after the prompt ``embeds`` [1, T, D], and more until the answer ends, up to ``new_tokens``."""
    eos, length = model.config.eos_id, embeds.shape[1]
    model.text_decoder.setup_cache()
    logits = [model.text_decoder(embeds, torch.tensor([0]))[0, -1]]
    greedy_ids = [model.most_likely(logits[-1])]
    for step in range(1, max(steps, new_tokens)):
        if step >= steps and (eos in greedy_ids or step == new_tokens):
            break
        following, position = model.embed([greedy_ids[-1:]]), length + step - 1
        after = model.text_decoder(following, torch.tensor([position]))[0, -1]
        greedy_ids.append(model.most_likely(after))
        if step < steps:
            logits.append(after)
            embeds = torch.cat([embeds, following], dim=1)
    answer = itertools.takewhile(lambda token: token != eos, greedy_ids[:new_tokens])
    return GreedyRun(embeds, torch.stack(logits), greedy_ids, list(answer))


@dataclass(frozen=True)
class _Decoded:
    """Logits [steps, V] of both; the methods' logits compared with their own prefill of the same text; the fp32 model's greedy ids."""

    ours: Tensor
    theirs: Tensor
    own_prefill: list[Distance]
    answer: list[int]


def _decode(
    model: MobileVLM, methods: Methods, embeds: Tensor, steps: int, new_tokens: int, max_prefill: int
) -> _Decoded:
    """Decode with both after the prompt ``embeds`` [1, T, D], feeding both the fp32 model's greedy tokens."""
    run, length = greedy_run(model, embeds, steps, new_tokens), embeds.shape[1]
    theirs = [prefill(methods, embeds, max_prefill)]
    theirs += [methods.text_decoder(run.embeds[:, at : at + 1], at) for at in range(length, length + steps - 1)]
    embeds = run.embeds
    own = [
        distance(prefill(methods, embeds[:, : length + decoded], max_prefill), theirs[decoded])
        for decoded in sorted(
            {min(decoded, steps - 1) for decoded in _OWN_PREFILL_AFTER}
        )  # a shift is most visible early
        if decoded > 0
    ]
    return _Decoded(run.logits, torch.stack(theirs), own, run.answer)


def _answer(tokenizer: Tokenizer, ids: list[int], other: list[int]) -> ComparedAnswer:
    # A piece of another tokenizer has no id, and a model may have more rows than pieces: these give no text.
    ids = [token for token in ids if 0 <= token < tokenizer.vocab_size]
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ids, other, strict=False)))
    before, through, text = (tokenizer.decode(ids[:end]) for end in (shared, shared + 1, len(ids)))
    return ComparedAnswer(tuple(ids), before, through[len(before) :], text[len(through) :])


def _token_errors(reference: Tensor, actual: Tensor) -> tuple[float, ...]:
    """For each row of two [N, D]: the error's length relative to the reference's; empty if the shapes differ."""
    if reference.shape != actual.shape:
        return ()
    errors = (actual - reference).norm(dim=1) / reference.norm(dim=1).clamp(min=1e-12)
    return tuple(errors.nan_to_num(nan=math.inf, posinf=math.inf).tolist())
