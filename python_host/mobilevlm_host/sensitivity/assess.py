"""Which recipe a checkpoint should take, and what it costs: its parts quantized one at a time, and whole recipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.free_memory import collect
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.progress import Progress, megabytes, silent
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.calibration import image_count, scenes
from mobilevlm_export.quantize.linear_inputs import CalibratedInputs
from mobilevlm_export.quantize.recipe import Recipe
from mobilevlm_export.tokenizer import Tokenizer, checkpoint_tokenizer
from mobilevlm_host.parity.check import default_samples, read_samples
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.sensitivity.budget import propose
from mobilevlm_host.sensitivity.cautions import Caution, cautions
from mobilevlm_host.sensitivity.components import STOCK, Components, Quantizer
from mobilevlm_host.sensitivity.fp32_answers import Fp32Answers, asked
from mobilevlm_host.sensitivity.part_costs import Cost, Measurement, Sensitivity
from mobilevlm_host.sensitivity.recommend import MEAN_KL, Recommendation, recommend
from mobilevlm_host.sensitivity.results_file import ResultsFile
from mobilevlm_host.sensitivity.time_plan import MINUTES, TimePlan, plan


@dataclass(frozen=True)
class Proposal:
    """The recipe that fits a budget, with what it costs as a whole."""

    recipe: Recipe
    cost: Cost


@dataclass(frozen=True)
class Assessment:
    """The cost of each part and of the ``stock`` recipes, which of these to take, and the ``proposal`` if there was a budget.

    ``plan`` says how many samples and calibration images there were, of ``given`` samples.
    """

    sensitivity: Sensitivity
    plan: TimePlan
    given: int
    stock: tuple[Cost, ...]
    cautions: tuple[Caution, ...]
    proposal: Proposal | None = None

    @property
    def recommendation(self) -> Recommendation:
        """Which of the stock recipes to take."""
        return recommend(self.stock)

    @property
    def advice(self) -> str:
        """Which of the stock recipes to take, and what it costs, in one line."""
        found, cost = self.recommendation, self.recommendation.cost
        figures = (
            f"{megabytes(self.weight_bytes(cost))} of weights, mean KL {cost.mean_kl:.2g}, "
            f"{cost.flips} of {self.sensitivity.samples} answers changed"
        )
        if found.sound:
            return f"Take {cost.scheme}: {figures}. It is the smallest recipe with a mean KL of at most {MEAN_KL:g}."
        return (
            f"No recipe has a mean KL of at most {MEAN_KL:g}. {cost.scheme} diverges least: {figures}. "
            "Keep the parts with the largest KL in fp32."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        stock = {cost.scheme: self._figures(cost) for cost in self.stock}
        found = self.sensitivity.to_json() | {
            "samples_given": self.given,
            "calibration_images": self.plan.calibration_images,
            "cautions": [asdict(each) for each in self.cautions],
            "stock_recipes": stock,
            "recommended": {"recipe": self.recommendation.cost.scheme, "within_limit": self.recommendation.sound},
        }
        if self.proposal is None:
            return found
        recipe = self.proposal.recipe.to_json()
        return found | {"proposal": {"recipe": recipe, **self._figures(self.proposal.cost), "stock_recipes": stock}}

    def weight_bytes(self, cost: Cost) -> int:
        """Bytes of all weights, less what ``cost`` saves."""
        return self.sensitivity.fp32_bytes - cost.bytes_saved

    def _figures(self, cost: Cost) -> dict[str, Any]:
        return {"weight_bytes": self.weight_bytes(cost), "mean_kl": cost.mean_kl, "flips": cost.flips}


def assess(
    checkpoint: Path,
    *,
    images: Path | None = None,
    vision_tower: Path | None = None,
    budget: int | None = None,
    name: str = "proposed",
    minutes: float = MINUTES,
    progress: Progress = silent,
    started: Callable[[ResultsFile], None] = lambda _: None,
) -> Assessment:
    """Measure the model in the folder ``checkpoint``, over the images in the folder ``images`` (default: as parity).

    It takes about so many ``minutes``: as many samples are measured as fit. ``budget`` is in bytes of weights; ``name`` is that of the
    recipe proposed for it. ``started`` is called with the file of results before the measurement.

    Raises:
        CheckpointError: the checkpoint can't be read.
        ParityError: ``images`` holds no image.
        QuantizeError: no recipe fits ``budget``.
    """
    begin = time.monotonic()
    shown = default_samples() if images is None else read_samples(images)
    hashes = [checkpoint_sha256(folder, progress) for folder in (checkpoint, vision_tower) if folder]
    pixels = [each.image.tobytes() + f"{each.image.size} {each.question}".encode() for each in shown]
    results = ResultsFile.of(*hashes, *pixels, f"{minutes} minutes")
    started(results)
    tokenizer = checkpoint_tokenizer(checkpoint)

    def load(dtype: Any) -> MobileVLM:
        return load_checkpoint(checkpoint, vision_tower=vision_tower, dtype=dtype, progress=progress)

    if results.get("asked") is None:
        _ask(load(torch.float32), tokenizer, shown, results, lambda: begin + 60 * minutes - time.monotonic(), progress)
        collect()
    planned = TimePlan(**results.get("plan"))
    model = load(None)  # weights keep their stored type, mostly half precision
    questions = [
        asked(model, tokenizer, sample, found)
        for sample, found in zip(chosen(shown, planned.samples), results.get("asked"), strict=True)
    ]
    parts = Components(model, _quantizer(tokenizer, planned.calibration_images, progress))
    measurement = Measurement(parts, questions, results, progress)
    sensitivity = measurement.sensitivity()
    recipe = propose(sensitivity, budget, name) if budget is not None else None
    costs = measurement.recipes([*STOCK, *([recipe] if recipe else [])])
    return Assessment(
        sensitivity,
        planned,
        len(shown),
        tuple(costs[: len(STOCK)]),
        tuple(cautions(sensitivity.outliers)),
        Proposal(recipe, costs[-1]) if recipe else None,
    )


def chosen(samples: Sequence[Sample], count: int) -> list[Sample]:
    """``count`` of ``samples``, evenly spaced."""
    return [samples[at * len(samples) // count] for at in range(count)]


def _ask(
    model: MobileVLM,
    tokenizer: Tokenizer,
    samples: Sequence[Sample],
    results: ResultsFile,
    seconds_left: Callable[[], float],
    progress: Progress,
) -> None:
    """Decide how much fits into the time, and ask the fp32 ``model``."""
    fp32 = Fp32Answers(model, tokenizer, progress)
    timing = fp32.timing(samples[0])
    planned = plan(timing, seconds_left(), samples=len(samples), images=image_count(model.config))
    results.put("plan", asdict(planned))
    results.put("asked", fp32.ask(chosen(samples, planned.samples)))


def _quantizer(tokenizer: Tokenizer, images: int, progress: Progress) -> Quantizer:
    """Quantizes as an export does, calibrated with the first ``images`` of its scenes."""

    def quantized(model: MobileVLM, recipe: Recipe) -> None:
        found = scenes(tokenizer, model.config, progress)
        quantize(model, recipe, progress, CalibratedInputs(model, replace(found, texts=found.texts[:images]), progress))

    return quantized
