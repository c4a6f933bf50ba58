"""Where a recipe will hurt: linears whose channels differ too much even after the kit's rewrites, and what to do about each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mobilevlm_host.sensitivity.channels import Ratios
from mobilevlm_host.sensitivity.part_costs import Outliers

# The ratios from which on a scheme changes answers, and the scheme to take instead; measured on the demo:
# docs/guides/choose-a-recipe.md. The first that applies counts.
LIMITS = (
    ("int8", Ratios(weights=32, activations=24), "fp32"),
    ("int4", Ratios(weights=8, activations=16), "int8"),
)


@dataclass(frozen=True)
class Caution:
    """Linears with an input that ``scheme`` rounds too coarsely; ``times`` the largest channel exceeds the median, and what to do."""

    place: str
    scheme: str
    times: float
    of_weights: bool
    remedy: str

    @property
    def line(self) -> str:
        """One line."""
        what = "weight column" if self.of_weights else "input channel"
        worse = self.scheme if self.scheme == "int4" else f"{self.scheme}, and int4 more so,"
        return f"{self.place}: its largest {what} is {self.times:.0f} times the median, so {worse} loses accuracy: {self.remedy}"


def cautions(outliers: Sequence[Outliers]) -> list[Caution]:
    """One for each place of ``outliers`` that is beyond a limit after the rewrites: those of int8 first, the worst first."""
    found = []
    for each in outliers:
        left = each.rewritten
        for rank, (scheme, limit, instead) in enumerate(LIMITS):
            weights, activations = left.weights / limit.weights, left.activations / limit.activations
            if max(weights, activations) >= 1:
                times = left.weights if weights > activations else left.activations
                caution = Caution(each.place, scheme, times, weights > activations, _keep(each.place, instead))
                found.append((rank, -max(weights, activations), caution))
                break
    return [caution for _, _, caution in sorted(found, key=lambda each: each[:2])]


def _keep(place: str, scheme: str) -> str:
    """How to keep the part at ``place`` in ``scheme``."""
    if layer := re.match(r"llm\.layers\.(\d+)\.", place):
        return f'llm_layers = "{layer[1]}-{layer[1]}={scheme}" in a recipe file'
    return f"--{place.partition('.')[0].replace('_', '-')} {scheme}"
