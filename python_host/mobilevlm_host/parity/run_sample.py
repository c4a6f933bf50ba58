"""One sample through the fp32 model and a bundle, side by side, stage by stage.

Every stage is fed what the fp32 model was fed, so that a fault shows where it is and not in all that follows. LDPv2 runs
in one method with the tower: its reference is the fp32 LDPv2 over the features that the bundle itself computed.
Decoding is held against the bundle's own prefill too: a position that is off by one, or a cache write that is lost, can
hide behind the noise of quantization, but not there.
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

# Greedy token ids of the answer to a question about an image (RGB), of at most so many tokens.
Answers = Callable[[Image, str, int], list[int]]


@dataclass(frozen=True)
class Sample:
    """A picture (RGB) with its name, and a question about it."""

    name: str
    image: Image
    question: str


@dataclass(frozen=True)
class Seen:
    """What both made of one picture, whatever is asked about it: the ``pixels`` uint8 [3, S, S] that were encoded, the fp32 model's
    ``embeds`` [P / 4, D], and the distances and token errors of :class:`Measured`.
    """

    pixels: Tensor
    embeds: Tensor
    tensors: Mapping[str, Distance]
    token_errors: tuple[float, ...]


@dataclass(frozen=True)
class ComparedAnswer:
    """Greedy token ids and their text, cut in three: before, at and after the first token that the other model's answer hasn't."""

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
    """What one sample gave. ``pixels``, uint8 [3, S, S], are what the vision encoders were fed. ``tensors`` has a distance for pixels,
    vision_encoder, projector, token_embedding, prefill and, if anything was decoded, decode (of all logits as one tensor);
    ``logits`` are of the prompt's last token and of each decoded one;
    ``own_prefill_snr_db`` is the least of decoded logits to the bundle's own prefill (None if nothing was decoded);
    ``token_errors`` is, for each image token, the error of the embedding that the text decoder gets, relative to its length.
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
def see(model: MobileVLM, methods: Methods, phone: PhoneInputs, image: Image) -> Seen:
    """Compare what ``methods`` and ``phone`` make of ``image`` (RGB) with the fp32 ``model``."""
    pixels = preprocess(image, model.config)
    features, (shown, their_features) = model.vision_features(pixels[None]), methods.vision_encoder(pixels[None])
    projector = model.vision_encoder.projector
    embeds = projector(features)[0]
    tensors = {
        "pixels": distance(pixels, phone.pixels(image)),
        "vision_encoder": distance(features, their_features),
        "projector": distance(projector(their_features), shown),
    }
    return Seen(pixels, embeds, tensors, _token_errors(embeds, shown[0]))


@torch.inference_mode()
def measure(
    model: MobileVLM,
    tokenizer: Tokenizer,
    methods: Methods,
    answer: Answers,
    phone: PhoneInputs,
    sample: Sample,
    seen: Seen,
    *,
    max_context: int,
    max_prefill: int,
) -> Measured:
    """Compare ``methods``, ``answer`` and ``phone`` with the fp32 ``model`` on ``sample``, whose picture was ``seen``.

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
class Walk:
    """The fp32 model after a prompt, fed its own likeliest tokens: embeddings [1, T + steps - 1, D] of prompt and tokens, logits
    [steps, V], those tokens' ids, and the greedy answer's (without end-of-text).
    """

    embeds: Tensor
    logits: Tensor
    likeliest: list[int]
    answer: list[int]


@torch.inference_mode()
def walk(model: MobileVLM, embeds: Tensor, steps: int, new_tokens: int) -> Walk:
    """Go on for ``steps`` tokens after the prompt ``embeds`` [1, T, D], and further while the answer does, up to ``new_tokens``."""
    eos, length = model.config.eos_id, embeds.shape[1]
    model.text_decoder.setup_cache()
    logits = [model.text_decoder(embeds, torch.tensor([0]))[0, -1]]
    likeliest = [model.likeliest(logits[-1])]
    for step in range(1, max(steps, new_tokens)):
        if step >= steps and (eos in likeliest or step == new_tokens):
            break
        following, position = model.embed([likeliest[-1:]]), length + step - 1
        after = model.text_decoder(following, torch.tensor([position]))[0, -1]
        likeliest.append(model.likeliest(after))
        if step < steps:
            logits.append(after)
            embeds = torch.cat([embeds, following], dim=1)
    answer = itertools.takewhile(lambda token: token != eos, likeliest[:new_tokens])
    return Walk(embeds, torch.stack(logits), likeliest, list(answer))


@dataclass(frozen=True)
class _Decoded:
    """Logits [steps, V] of both; how far those of the methods are from their own prefill of the same text; the fp32 model's greedy ids."""

    ours: Tensor
    theirs: Tensor
    own_prefill: list[Distance]
    answer: list[int]


def _decode(
    model: MobileVLM, methods: Methods, embeds: Tensor, steps: int, new_tokens: int, max_prefill: int
) -> _Decoded:
    """Both after the prompt ``embeds`` [1, T, D], fed the fp32 model's likeliest tokens, which are its greedy answer too."""
    walked, length = walk(model, embeds, steps, new_tokens), embeds.shape[1]
    theirs = [prefill(methods, embeds, max_prefill)]
    theirs += [methods.text_decoder(walked.embeds[:, at : at + 1], at) for at in range(length, length + steps - 1)]
    embeds = walked.embeds
    own = [
        distance(prefill(methods, embeds[:, : length + decoded], max_prefill), theirs[decoded])
        for decoded in sorted({min(decoded, steps - 1) for decoded in _OWN_PREFILL_AFTER})  # a shift shows best early
        if decoded > 0
    ]
    return _Decoded(walked.logits, torch.stack(theirs), own, walked.answer)


def _answer(tokenizer: Tokenizer, ids: list[int], other: list[int]) -> ComparedAnswer:
    # A piece of another tokenizer has no id, and a model may have more rows than pieces: they say nothing.
    ids = [token for token in ids if 0 <= token < tokenizer.vocab_size]
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ids, other, strict=False)))
    before, through, text = (tokenizer.decode(ids[:end]) for end in (shared, shared + 1, len(ids)))
    return ComparedAnswer(tuple(ids), before, through[len(before) :], text[len(through) :])


def _token_errors(reference: Tensor, actual: Tensor) -> tuple[float, ...]:
    """Of each row of two [N, D]: the error's length relative to the reference's; without a shape in common, nothing."""
    if reference.shape != actual.shape:
        return ()
    errors = (actual - reference).norm(dim=1) / reference.norm(dim=1).clamp(min=1e-12)
    return tuple(errors.nan_to_num(nan=math.inf, posinf=math.inf).tolist())
