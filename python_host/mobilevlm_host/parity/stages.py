"""The stages of parity over all samples: their figures, their limits, and the first that diverges."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.engine import Engine
from mobilevlm_host.parity.measure import Measured, Sample, Seen, measure, see
from mobilevlm_host.parity.metrics import Distance
from mobilevlm_host.parity.phone import PhoneInputs

STAGES = (
    "pixels", "vision_encoder", "projector", "token_ids", "token_embedding", "prefill", "decode", "answer",
)  # fmt: skip


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
    """All stages in the order of the data path, and what each sample gave."""

    recipe: dict[str, str]
    stages: tuple[Stage, ...]
    measured: tuple[Measured, ...] = field(repr=False)

    @property
    def samples(self) -> int:
        """How many were compared."""
        return len(self.measured)

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
    progress: Progress = silent,
) -> ParityReport:
    """Compare ``engine`` and ``phone`` with the fp32 ``model`` over ``samples``.

    ``recipe`` gives the scheme of each part (llm, vision, projector, embedding), which sets the limits.

    Raises:
        ParityError: there is no sample, or one that leaves no room for an answer.
    """
    if not samples:
        raise ParityError("parity: got no samples, expected at least one picture with a question")
    measured: list[Measured] = []
    seen: dict[int, Seen] = {}  # several questions may share a picture
    for sample in samples:
        progress("parity", len(measured), len(samples))
        picture = id(sample.image)
        if picture not in seen:
            seen[picture] = see(model, engine, phone, sample.image)
        measured.append(
            measure(
                model, tokenizer, engine, phone, sample, seen[picture], max_context=max_context, max_prefill=max_prefill
            )
        )
    progress("parity", len(measured), len(samples))
    return judge(measured, recipe)


def judge(measured: Sequence[Measured], recipe: dict[str, str]) -> ParityReport:
    """The stages over all ``measured`` samples, held to the limits of ``recipe``.

    Raises:
        ParityError: no sample had room for a second token.
    """
    limits = thresholds.DECODER[recipe["llm"]]
    least_snr_db = {
        "pixels": math.inf,
        "vision_encoder": thresholds.VISION[recipe["vision"]],
        "projector": thresholds.PROJECTOR[recipe["projector"]],
        "token_embedding": thresholds.EMBEDDING[recipe["embedding"]],
    }
    names = [each.sample.name for each in measured]
    stages = {
        name: _tensor_stage(name, [each.tensors[name] for each in measured], least, names)
        for name, least in least_snr_db.items()
    }
    stages["token_ids"] = _share_stage("token_ids", [each.same_ids for each in measured], 1.0, names)
    stages["prefill"] = _logit_stage("prefill", measured, slice(0, 1), limits)
    stages["decode"] = _own_prefill(_logit_stage("decode", measured, slice(1, None), limits), measured, limits)
    stages["answer"] = _share_stage("answer", [each.same_answer for each in measured], limits.same_answers, names)
    return ParityReport(dict(recipe), tuple(stages[name] for name in STAGES), tuple(measured))


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


def _logit_stage(name: str, measured: Sequence[Measured], steps: slice, limits: thresholds.DecoderLimits) -> Stage:
    """Over the positions ``steps`` of all samples: one unsure token of one sample says nothing."""
    kl = [value for each in measured for value in each.logits.kl[steps]]
    top1 = [value for each in measured for value in each.logits.top1[steps]]
    top5 = [value for each in measured for value in each.logits.top5[steps]]
    if not kl:
        raise ParityError(f"{name}: got no position to compare, expected a context with room for two tokens")
    figures = {"mean_kl": _mean(kl), "max_kl": max(kl), "top1": _mean(top1), "top5": _mean(top5)}
    return Stage(
        name=name,
        passed=figures["mean_kl"] <= limits.mean_kl and figures["top1"] >= limits.top1,
        metrics=figures,
        threshold={"mean_kl": limits.mean_kl, "top1": limits.top1},
        worst=max(measured, key=lambda each: _mean(each.logits.kl[steps])).sample.name,
    )


def _own_prefill(stage: Stage, measured: Sequence[Measured], limits: thresholds.DecoderLimits) -> Stage:
    """``stage`` with what decoding is to the engine's own prefill: a value rounded the other way can make one sample noisy,
    so the median counts.
    """
    snr_db = [each.own_prefill_snr_db for each in measured if each.own_prefill_snr_db is not None]
    median = statistics.median_low(snr_db)
    return replace(
        stage,
        passed=stage.passed and median >= limits.own_prefill_snr_db,
        metrics=stage.metrics | {"own_prefill_snr_db": median},
        threshold=stage.threshold | {"own_prefill_snr_db": limits.own_prefill_snr_db},
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _share_stage(name: str, same: list[bool], least: float, names: list[str]) -> Stage:
    share = sum(same) / len(same)
    return Stage(
        name=name,
        passed=share >= least,
        metrics={"same": share, "flips": float(same.count(False))},
        threshold={"same": least},
        worst=names[same.index(False)] if False in same else "",
    )
