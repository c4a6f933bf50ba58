"""A checkpoint's parts quantized one at a time, and the recipe that a budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import Recipe
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.parity.check import default_samples, read_samples
from mobilevlm_host.sensitivity.budget import propose
from mobilevlm_host.sensitivity.part_costs import (
    STOCK,
    Cost,
    Samples,
    Sensitivity,
    measure_recipes,
    measure_sensitivity,
)


@dataclass(frozen=True)
class Proposal:
    """The recipe that fits a budget, with what it costs as a whole; ``stock`` are the kit's recipes, measured alike."""

    recipe: Recipe
    cost: Cost
    stock: dict[str, Cost]


@dataclass(frozen=True)
class Assessment:
    """The cost of each part, and the ``proposal`` if there was a budget."""

    sensitivity: Sensitivity
    proposal: Proposal | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        if self.proposal is None:
            return self.sensitivity.to_json()
        proposal = self.proposal
        return self.sensitivity.to_json() | {
            "proposal": {
                "recipe": proposal.recipe.to_json(),
                **self._figures(proposal.cost),
                "stock_recipes": {name: self._figures(cost) for name, cost in proposal.stock.items()},
            }
        }

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
    progress: Progress = silent,
) -> Assessment:
    """Measure the parts of the model in the folder ``checkpoint``, over the images in the folder ``images`` (default: as parity).

    ``budget`` is in bytes of weights; ``name`` is that of the recipe proposed for it.

    Raises:
        CheckpointError: the checkpoint can't be read.
        ParityError: ``images`` holds no image.
        QuantizeError: no recipe fits ``budget``.
    """
    model = load_checkpoint(checkpoint, vision_tower=vision_tower, progress=progress)
    shown = default_samples() if images is None else read_samples(images)
    samples = Samples(model, checkpoint_tokenizer(checkpoint), shown, progress)
    found = measure_sensitivity(samples, model, progress)
    if budget is None:
        return Assessment(found)
    recipe = propose(found, budget, name)
    *stock, own = measure_recipes(samples, [*STOCK, recipe], progress)
    named = {each.name: cost for each, cost in zip(STOCK, stock, strict=True)}
    return Assessment(found, Proposal(recipe, own, named))
