"""Run the fp32 model and a bundle side by side, and name the first stage that diverges.

Every stage is fed what the fp32 model was fed, so that a fault shows where it is and not in all that follows. LDPv2 runs
in one method with the tower: its reference is the fp32 LDPv2 over the features that the bundle itself computed.
Decoding is held against the bundle's own prefill too: a position that is off by one, or a cache write that is lost, can
hide behind the noise of quantization, but not there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.preprocess import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.engine import Engine
from mobilevlm_host.parity.metrics import Distance, LogitDistance, distance, logit_distance
from mobilevlm_host.parity.phone import PhoneInputs

STAGES = (
    "pixels", "vision_encoder", "projector", "token_ids", "token_embedding", "prefill", "decode", "answer",
)  # fmt: skip
DECODE_STEPS = 32
_OWN_PREFILL_AFTER = (2, DECODE_STEPS)  # decoded tokens


@dataclass(frozen=True)
class Sample:
    """A picture (RGB) with its name, and a question about it."""

    name: str
    image: Image
    question: str


@dataclass(frozen=True)
class Stage:
    """One stage over all samples: its figures, the limits they were held to, the worst sample, and whether it passed."""

    name: str
    passed: bool
    metrics: dict[str, float]
    threshold: dict[str, float]
    worst: str


@dataclass(frozen=True)
class ParityReport:
    """All stages in the order of the data path."""

    recipe: dict[str, str]
    samples: int
    stages: tuple[Stage, ...]

    @property
    def first_divergence(self) -> str | None:
        """The first stage beyond its limits."""
        return next((stage.name for stage in self.stages if not stage.passed), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; what is infinite is null."""
        stages = {
            stage.name: {key: value for key, value in asdict(stage).items() if key != "name"} for stage in self.stages
        }
        for stage in stages.values():
            stage["metrics"] = {key: value if math.isfinite(value) else None for key, value in stage["metrics"].items()}
        return {
            "verdict": "fail" if self.first_divergence else "pass",
            "first_divergence": self.first_divergence,
            "recipe": self.recipe,
            "samples": self.samples,
            "stages": stages,
        }


@torch.inference_mode()
def compare(
    model: MobileVLM,
    tokenizer: Tokenizer,
    engine: Engine,
    phone: PhoneInputs,
    samples: Sequence[Sample],
    *,
    recipe: dict[str, str],
    max_context: int,
    max_prefill: int,
    max_new_tokens: int = 48,
    progress: Progress = silent,
) -> ParityReport:
    """Compare ``engine`` and ``phone`` with the fp32 ``model`` over ``samples``.

    ``recipe`` gives the scheme of each part (llm, vision, projector, embedding), which sets the limits.

    Raises:
        ParityError: there is no sample, or one that leaves no room for an answer.
    """
    if not samples:
        raise ParityError("parity: got no samples, expected at least one picture with a question")
    tensors: dict[str, list[Distance]] = {
        name: [] for name in ("pixels", "vision_encoder", "projector", "token_embedding")
    }
    logits: dict[str, list[LogitDistance]] = {"prefill": [], "decode": []}
    same_ids, same_answers, own_prefill = [], [], []
    for index, sample in enumerate(samples):
        pixels = preprocess(sample.image, model.config)
        tensors["pixels"].append(distance(pixels, phone.pixels(sample.image)))
        features, (shown, their_features) = model.vision_features(pixels[None]), engine.vision_encoder(pixels[None])
        tensors["vision_encoder"].append(distance(features, their_features))
        tensors["projector"].append(distance(model.vision_encoder.projector(their_features), shown))

        before, after = _ids(tokenizer, sample.question)
        same_ids.append((before, after) == phone.ids(sample.question))
        text = torch.tensor([before + after])
        tensors["token_embedding"].append(distance(model.token_embedding(text), engine.token_embedding(text)))

        prefilled = model.embed([before, pixels, after])
        steps = min(DECODE_STEPS, max_context - prefilled.shape[1])
        if steps < 1:
            raise ParityError(
                f"{sample.name}: got a prompt of {prefilled.shape[1]} tokens, expected less than the context, {max_context}"
            )
        ours, theirs, own = _teacher_forced(model, engine, prefilled, steps, max_prefill)
        logits["prefill"].append(logit_distance(ours[:1], theirs[:1]))
        if steps > 1:
            logits["decode"].append(logit_distance(ours[1:], theirs[1:]))
            own_prefill.append(min(each.snr_db for each in own))

        room = max(1, min(max_new_tokens, max_context - prefilled.shape[1]))
        expected = model.generate([before, pixels, after], room)
        same_answers.append(engine.answer(sample.image, sample.question, room) == expected)
        progress("parity", index + 1, len(samples))

    names = [sample.name for sample in samples]
    limits = thresholds.DECODER[recipe["llm"]]
    stages = {
        "pixels": _tensor_stage("pixels", tensors["pixels"], math.inf, names),
        "vision_encoder": _tensor_stage(
            "vision_encoder", tensors["vision_encoder"], thresholds.VISION[recipe["vision"]], names
        ),
        "projector": _tensor_stage("projector", tensors["projector"], thresholds.PROJECTOR[recipe["projector"]], names),
        "token_ids": _share_stage("token_ids", same_ids, 1.0, names),
        "token_embedding": _tensor_stage(
            "token_embedding", tensors["token_embedding"], thresholds.EMBEDDING[recipe["embedding"]], names
        ),
        "prefill": _logit_stage("prefill", logits["prefill"], limits, names),
        "decode": _own_prefill(_logit_stage("decode", logits["decode"], limits, names), own_prefill, limits),
        "answer": _share_stage("answer", same_answers, limits.same_answers, names),
    }
    return ParityReport(dict(recipe), len(samples), tuple(stages[name] for name in STAGES))


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
    theirs = [_prefill(engine, embeds, max_prefill)]
    for position in range(length, length + steps - 1):
        following = model.embed([[int(ours[-1].argmax())]])
        ours.append(model.text_decoder(following, torch.tensor([position]))[0, -1])
        theirs.append(engine.text_decoder(following, position))
        embeds = torch.cat([embeds, following], dim=1)
    own = [
        distance(_prefill(engine, embeds[:, : length + decoded], max_prefill), theirs[decoded])
        for decoded in sorted({min(decoded, steps - 1) for decoded in _OWN_PREFILL_AFTER})
        if decoded > 0
    ]
    return torch.stack(ours), torch.stack(theirs), own


def _prefill(engine: Engine, embeds: Tensor, max_prefill: int) -> Tensor:
    chunks = [engine.text_decoder(chunk, at * max_prefill) for at, chunk in enumerate(embeds.split(max_prefill, dim=1))]
    return chunks[-1]


def _tensor_stage(name: str, found: list[Distance], least_snr_db: float, names: list[str]) -> Stage:
    worst = min(range(len(found)), key=lambda index: found[index].snr_db)
    return Stage(
        name=name,
        passed=found[worst].snr_db >= least_snr_db,
        metrics={
            "max_abs": max(each.max_abs for each in found),
            "max_rel": max(each.max_rel for each in found),
            "cosine": min(each.cosine for each in found),
            "snr_db": found[worst].snr_db,
        },
        threshold={"max_abs": 0.0} if math.isinf(least_snr_db) else {"snr_db": least_snr_db},
        worst=names[worst],
    )


def _logit_stage(name: str, found: list[LogitDistance], limits: thresholds.DecoderLimits, names: list[str]) -> Stage:
    """Over all positions of all samples: one unsure token of one sample says nothing."""
    positions = [kl for each in found for kl in each.kl]
    if not positions:
        raise ParityError(f"{name}: got no position to compare, expected a context with room for two tokens")
    top1 = sum(each.top1 * len(each.kl) for each in found) / len(positions)
    top5 = sum(each.top5 * len(each.kl) for each in found) / len(positions)
    mean_kl = sum(positions) / len(positions)
    return Stage(
        name=name,
        passed=mean_kl <= limits.mean_kl and top1 >= limits.top1,
        metrics={"mean_kl": mean_kl, "max_kl": max(positions), "top1": top1, "top5": top5},
        threshold={"mean_kl": limits.mean_kl, "top1": limits.top1},
        worst=names[max(range(len(found)), key=lambda index: found[index].mean_kl)],
    )


def _own_prefill(stage: Stage, snr_db: list[float], limits: thresholds.DecoderLimits) -> Stage:
    """``stage`` with what decoding is to the engine's own prefill: a value rounded the other way can make one sample noisy,
    so the median counts.
    """
    median = statistics.median_low(snr_db)
    return replace(
        stage,
        passed=stage.passed and median >= limits.own_prefill_snr_db,
        metrics=stage.metrics | {"own_prefill_snr_db": median},
        threshold=stage.threshold | {"own_prefill_snr_db": limits.own_prefill_snr_db},
    )


def _share_stage(name: str, same: list[bool], least: float, names: list[str]) -> Stage:
    share = sum(same) / len(same)
    return Stage(
        name=name,
        passed=share >= least,
        metrics={"same": share, "flips": float(same.count(False))},
        threshold={"same": least},
        worst=names[same.index(False)] if False in same else "",
    )
