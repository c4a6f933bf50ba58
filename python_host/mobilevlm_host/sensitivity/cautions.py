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
    """Linears with an input that ``scheme`` rounds too coarsely: ``place``, with the numbers of all layers that it concerns; ``times`` the
    largest channel exceeds the median, in the worst of them; and what to do.
    """

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


@dataclass(frozen=True)
class _Beyond:
    """The place of a linear beyond a limit: in ``layer``, if it is in one; ``excess`` is how far."""

    linear: str
    layer: int | None
    rank: int
    excess: float
    times: float
    of_weights: bool


def cautions(outliers: Sequence[Outliers]) -> list[Caution]:
    """What is beyond a limit after the rewrites, one for the same linear of all layers: those of int8 first, the worst first."""
    groups: dict[tuple[str, int, bool], list[_Beyond]] = {}
    for each in outliers:
        if found := _beyond(each):
            groups.setdefault((found.linear, found.rank, found.of_weights), []).append(found)
    worst_first = sorted(groups.values(), key=lambda group: (group[0].rank, -max(each.excess for each in group)))
    return [_caution(group) for group in worst_first]


def _beyond(outliers: Outliers) -> _Beyond | None:
    left = outliers.rewritten
    in_layer = re.fullmatch(r"(.*layers\.)(\d+)(\..*)", outliers.place)
    linear, layer = (f"{in_layer[1]}{{}}{in_layer[3]}", int(in_layer[2])) if in_layer else (outliers.place, None)
    for rank, (_, limit, _) in enumerate(LIMITS):
        weights, activations = left.weights / limit.weights, left.activations / limit.activations
        if max(weights, activations) >= 1:
            of_weights = weights > activations
            times = left.weights if of_weights else left.activations
            return _Beyond(linear, layer, rank, max(weights, activations), times, of_weights)
    return None


def _caution(group: Sequence[_Beyond]) -> Caution:
    first, times = group[0], max(each.times for each in group)
    scheme, _, instead = LIMITS[first.rank]
    layers = _ranges([each.layer for each in group if each.layer is not None])
    place = first.linear.format(",".join(_shown(begin, end) for begin, end in layers))
    if place.startswith("llm."):
        kept = ",".join(f"{begin}-{end}={instead}" for begin, end in layers)
        remedy = f'llm_layers = "{kept}" in a recipe file'
    else:
        remedy = f"--{place.partition('.')[0].replace('_', '-')} {instead}"
    return Caution(place, scheme, times, first.of_weights, remedy)


def _ranges(layers: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each run of consecutive ``layers``."""
    runs: list[tuple[int, int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], layer)
        else:
            runs.append((layer, layer))
    return runs


def _shown(begin: int, end: int) -> str:
    return str(begin) if begin == end else f"{begin}-{end}"
