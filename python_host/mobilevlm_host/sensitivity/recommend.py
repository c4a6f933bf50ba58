"""The smallest recipe that changes little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobilevlm_host.sensitivity.part_costs import Cost

# In nats. On the demo with outliers of many sizes, one of six answers had changed a token at this divergence, one of ten at a third
# of it: docs/guides/choose-a-recipe.md.
MEAN_KL = 0.01


@dataclass(frozen=True)
class Recommendation:
    """The recipe with this ``cost``; ``sound``: within the limit, otherwise the one that diverges least."""

    cost: Cost
    sound: bool


def recommend(costs: Sequence[Cost]) -> Recommendation:
    """The smallest of whole recipes with these ``costs`` that is within the limit."""
    if sound := [cost for cost in costs if cost.mean_kl <= MEAN_KL]:
        return Recommendation(max(sound, key=lambda cost: cost.bytes_saved), True)
    return Recommendation(min(costs, key=lambda cost: cost.mean_kl), False)
