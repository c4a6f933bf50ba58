"""One sample through the fp32 model and a bundle, side by side, stage by stage.

Every stage is fed what the fp32 model was fed, so that a fault shows where it is and not in all that follows. LDPv2 runs
in one method with the tower: its reference is the fp32 LDPv2 over the features that the bundle itself computed.
Decoding is held against the bundle's own prefill too: a position that is off by one, or a cache write that is lost, can
hide behind the noise of quantization, but not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.preprocess import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.methods import prefill
from mobilevlm_host.parity.engine import Engine
from mobilevlm_host.parity.metrics import Distance, LogitDistance, distance, logit_distance
from mobilevlm_host.parity.phone import PhoneInputs

DECODE_STEPS = 32
_MAX_NEW_TOKENS = 48
_OWN_PREFILL_AFTER = (2, DECODE_STEPS)  # decoded tokens


@dataclass(frozen=True)
class Sample:
    """A picture (RGB) with its name, and a question about it."""

    name: str
    image: Image
    question: str


@dataclass(frozen=True)
class Measured:
    """What one sample gave. ``tensors`` has a distance for pixels, vision_encoder, projector and token_embedding;
    ``logits`` are of the prompt's last token and of each decoded one; ``own_prefill_snr_db`` is the least of decoded logits to the
    bundle's own prefill (None if nothing was decoded); ``token_errors`` is, for each image token, the error of the embedding that the
    text decoder gets, relative to its length; answers are token ids and their text.
    """

    sample: Sample
    tensors: Mapping[str, Distance]
    same_ids: bool
    logits: LogitDistance
    own_prefill_snr_db: float | None
    token_errors: tuple[float, ...]
    expected_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    expected: str
    answer: str

    @property
    def same_answer(self) -> bool:
        """Whether both gave the same token ids."""
        return self.expected_ids == self.answer_ids


@torch.inference_mode()
def measure(
    model: MobileVLM,
    tokenizer: Tokenizer,
    engine: Engine,
    phone: PhoneInputs,
    sample: Sample,
    *,
    max_context: int,
    max_prefill: int,
) -> Measured:
    """Compare ``engine`` and ``phone`` with the fp32 ``model`` on ``sample``.

    Raises:
        ParityError: the sample leaves no room for an answer in ``max_context`` tokens.
    """
    pixels = preprocess(sample.image, model.config)
    features, (shown, their_features) = model.vision_features(pixels[None]), engine.vision_encoder(pixels[None])
    before, after = _ids(tokenizer, sample.question)
    text = torch.tensor([before + after])
    image = model.vision_encoder.projector(features)
    prompted = model.embed([before, image[0], after])
    room = max_context - prompted.shape[1]
    if room < 1:
        raise ParityError(
            f"{sample.name}: got a prompt of {prompted.shape[1]} tokens, expected less than the context, {max_context}"
        )
    ours, theirs, own = _teacher_forced(model, engine, prompted, min(DECODE_STEPS, room), max_prefill)
    new_tokens = min(_MAX_NEW_TOKENS, room)
    expected = model.generate([before, image[0], after], new_tokens)
    answer = engine.answer(sample.image, sample.question, new_tokens)
    return Measured(
        sample=sample,
        tensors={
            "pixels": distance(pixels, phone.pixels(sample.image)),
            "vision_encoder": distance(features, their_features),
            "projector": distance(model.vision_encoder.projector(their_features), shown),
            "token_embedding": distance(model.token_embedding(text), engine.token_embedding(text)),
        },
        same_ids=(before, after) == phone.ids(sample.question),
        logits=logit_distance(ours, theirs),
        own_prefill_snr_db=min((each.snr_db for each in own), default=None),
        token_errors=_token_errors(image[0], shown[0]),
        expected_ids=tuple(expected),
        answer_ids=tuple(answer),
        expected=tokenizer.decode(expected),
        answer=tokenizer.decode(answer),
    )


def _ids(tokenizer: Tokenizer, question: str) -> tuple[list[int], list[int]]:
    before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(question)])
    assert isinstance(before, list)
    assert isinstance(after, list)
    return before, after


def _teacher_forced(
    model: MobileVLM, engine: Engine, embeds: Tensor, steps: int, max_prefill: int
) -> tuple[Tensor, Tensor, list[Distance]]:
    """Logits [steps, V] of both after ``embeds`` [1, T, D], fed the fp32 model's likeliest tokens; and how far the
    engine's are from its own prefill of the same text, early (a shift shows best) and last.
    """
    model.text_decoder.setup_cache()
    length = embeds.shape[1]
    ours = [model.text_decoder(embeds, torch.tensor([0]))[0, -1]]
    theirs = [prefill(engine, embeds, max_prefill)]
    for position in range(length, length + steps - 1):
        following = model.embed([[int(ours[-1].argmax())]])
        ours.append(model.text_decoder(following, torch.tensor([position]))[0, -1])
        theirs.append(engine.text_decoder(following, position))
        embeds = torch.cat([embeds, following], dim=1)
    own = [
        distance(prefill(engine, embeds[:, : length + decoded], max_prefill), theirs[decoded])
        for decoded in sorted({min(decoded, steps - 1) for decoded in _OWN_PREFILL_AFTER})
        if decoded > 0
    ]
    return torch.stack(ours), torch.stack(theirs), own


def _token_errors(reference: Tensor, actual: Tensor) -> tuple[float, ...]:
    """Of each row of two [N, D]: the error's length relative to the reference's; without a shape in common, nothing."""
    if reference.shape != actual.shape:
        return ()
    return tuple(((actual - reference).norm(dim=1) / reference.norm(dim=1).clamp(min=1e-12)).tolist())
