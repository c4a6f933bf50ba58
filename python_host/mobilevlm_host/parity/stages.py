"""The stages of parity over all samples: their figures, their limits, and the first that diverges."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.engines.methods import ComputedBy, Methods
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.run_sample import Answers, ComparedImage, Measured, Sample, compare_image, measure
from mobilevlm_host.parity.thresholds import Limit

STAGES = (
    "pixels", "vision_encoder", "projector", "token_ids", "token_embedding", "prefill", "decode", "answer",
)  # fmt: skip

_LAYERS_OF = {"vision_encoder": "vision_encoder", "text_decoder": "prefill"}  # the stage that runs a method's layers
StageFigures = tuple[dict[str, float], str]  # a stage's figures, and its worst sample


@dataclass(frozen=True)
class Stage:
    """One stage over all samples: its figures, their limits, and the worst sample."""

    name: str
    metrics: dict[str, float]
    limits: tuple[Limit, ...]
    worst: str

    @property
    def passed(self) -> bool:
        """Whether every figure is within its limit."""
        return all(limit.holds(self.metrics[limit.metric]) for limit in self.limits)

    @property
    def threshold(self) -> dict[str, float]:
        """The limits by metric."""
        return {limit.metric: limit.value for limit in self.limits}


@dataclass(frozen=True)
class Subject:
    """What was compared: a checkpoint and a bundle with their SHA-256 (the bundle's is its manifest's; ``source_sha256`` is that of
    its checkpoint, ``artifact_sha256`` that of its program), its recipe, the versions of the kit and tools that made and compared it,
    its artifact, and the engine that computed it here.
    """

    checkpoint: str
    checkpoint_sha256: str
    bundle: str
    manifest_sha256: str
    source_sha256: str
    artifact_sha256: str
    recipe_name: str
    made_with: str
    compared_with: str
    backend: str
    computed_by: ComputedBy

    def to_json(self) -> dict[str, Any]:
        """What a record needs to be told from that of another bundle: plain data."""
        return {"backend": self.backend, "artifact_sha256": self.artifact_sha256, **self.computed_by.to_json()}


@dataclass(frozen=True)
class ParityReport:
    """All stages in the order of the data path, and the results for each sample."""

    recipe: dict[str, str]
    stages: tuple[Stage, ...]
    measured: tuple[Measured, ...] = field(repr=False)
    subject: Subject | None = None
    layers: tuple[Stage, ...] = ()

    @property
    def samples(self) -> int:
        """The number of samples compared."""
        return len(self.measured)

    @property
    def decode_steps(self) -> int:
        """The number of decoded tokens compared in every sample, limited only by the context."""
        return min(len(each.logits.kl) for each in self.measured) - 1

    @property
    def first_divergence(self) -> str | None:
        """The first stage beyond its limits, or with a layer beyond its own."""
        failed = {stage.name for stage in self.stages if not stage.passed}
        failed |= {_LAYERS_OF[layer.name.partition(".")[0]] for layer in self.layers if not layer.passed}
        return next((stage.name for stage in self.stages if stage.name in failed), None)

    @property
    def changed_answers(self) -> str:
        """How many of the greedy answers differ from the fp32 model's, in words."""
        changed = sum(not each.same_answer for each in self.measured)
        return f"{changed or 'none'} of {self.samples} answers differ{'s' * (changed < 2)} from fp32's"

    @property
    def first_layer(self) -> str | None:
        """The first layer beyond its limit, if layers were measured."""
        return next((layer.name for layer in self.layers if not layer.passed), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``; infinite values are null."""
        layers = {"first_layer": self.first_layer, "layers": _plain(self.layers)} if self.layers else {}
        return {
            "verdict": "fail" if self.first_divergence else "pass",
            "first_divergence": self.first_divergence,
            **(self.subject.to_json() if self.subject else {}),
            "recipe": self.recipe,
            "samples": self.samples,
            "decode_steps": self.decode_steps,
            "stages": _plain(self.stages),
            **layers,
        }


def _plain(stages: Sequence[Stage]) -> dict[str, Any]:
    return {
        stage.name: {
            "passed": stage.passed,
            "metrics": {key: value if math.isfinite(value) else None for key, value in stage.metrics.items()},
            "threshold": stage.threshold,
            "worst": stage.worst,
        }
        for stage in stages
    }


def compare(
    model: MobileVLM,
    tokenizer: Tokenizer,
    methods: Methods,
    answer: Answers,
    phone: PhoneInputs,
    samples: Sequence[Sample],
    *,
    recipe: dict[str, str],
    max_context: int,
    max_prefill: int,
    progress: Progress = silent,
) -> ParityReport:
    """Compare ``methods``, ``answer`` and ``phone`` with the fp32 ``model`` over ``samples``.

    ``recipe`` gives the scheme of each part (llm, vision, projector, embedding), which sets the limits.

    Raises:
        ParityError: there is no sample, or one leaves no room for an answer.
    """
    if not samples:
        raise ParityError("parity: got no samples, expected at least one image with a question")
    measured: list[Measured] = []
    seen: dict[int, ComparedImage] = {}  # several questions may share an image
    for sample in samples:
        progress("parity", len(measured), len(samples))
        picture = id(sample.image)
        if picture not in seen:
            seen[picture] = compare_image(model, methods, phone, sample.image)
        measured.append(
            measure(
                model,
                tokenizer,
                methods,
                answer,
                phone,
                sample,
                seen[picture],
                max_context=max_context,
                max_prefill=max_prefill,
            )
        )
    progress("parity", len(measured), len(samples))
    return judge(measured, recipe)


def judge(measured: Sequence[Measured], recipe: dict[str, str]) -> ParityReport:
    """The stages over all ``measured`` samples, with the limits for ``recipe``.

    Raises:
        ParityError: no sample had room for a second token.
    """
    names = [each.sample.name for each in measured]
    found = {
        **{name: _tensors(measured, name) for name in measured[0].tensors},
        "token_ids": _share([each.same_ids for each in measured], names),
        "prefill": _logits(measured, "prefill", slice(0, 1)),
        "decode": _decoding(measured),
        "answer": _share([each.same_answer for each in measured], names),
    }
    limits = thresholds.limits(recipe)
    stages = tuple(Stage(name, found[name][0], limits[name], found[name][1]) for name in STAGES)
    return ParityReport(dict(recipe), stages, tuple(measured))


def _tensors(measured: Sequence[Measured], name: str) -> StageFigures:
    found = [(each.tensors[name], each.sample.name) for each in measured if name in each.tensors]
    worst, sample = min(found, key=lambda pair: pair[0].snr_db)
    metrics = {
        "max_abs": max(each.max_abs for each, _ in found),
        "max_rel": max(each.max_rel for each, _ in found),
        "cosine": min(each.cosine for each, _ in found),
        "snr_db": worst.snr_db,
    }
    return metrics, sample if worst.snr_db < math.inf else ""


def _logits(measured: Sequence[Measured], name: str, steps: slice) -> StageFigures:
    """Figures over the positions ``steps`` of all samples, because a single uncertain token is not significant."""
    kl = [value for each in measured for value in each.logits.kl[steps]]
    top1 = [value for each in measured for value in each.logits.top1[steps]]
    top5 = [value for each in measured for value in each.logits.top5[steps]]
    if not kl:
        raise ParityError("decode: got no positions to compare, expected a context with room for two tokens")
    worst = max(measured, key=lambda each: _mean(each.logits.kl[steps])).sample.name
    metrics = {"mean_kl": _mean(kl), "max_kl": max(kl), "top1": _mean(top1), "top5": _mean(top5)}
    return metrics | _tensors(measured, name)[0], worst


def _decoding(measured: Sequence[Measured]) -> StageFigures:
    """Decoded logits, also compared with the engine's own prefill. The latter uses the median, because a value rounded the other
    way can make one sample noisy.
    """
    metrics, worst = _logits(measured, "decode", slice(1, None))
    snr_db = [each.own_prefill_snr_db for each in measured if each.own_prefill_snr_db is not None]
    return {**metrics, "own_prefill_snr_db": statistics.median_low(snr_db)}, worst


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _share(same: list[bool], names: list[str]) -> StageFigures:
    metrics = {"same": sum(same) / len(same), "flips": float(same.count(False))}
    return metrics, names[same.index(False)] if False in same else ""
