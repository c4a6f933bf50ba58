"""The recipe with the least measured KL whose weights fit a budget: a multiple-choice knapsack, solved exactly.

The costs of components are assumed to add up, which is nearly true for small ones; the proposal is measured as a whole afterwards.
"""

from __future__ import annotations

import re

from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.progress import megabytes
from mobilevlm_export.quantize.recipe import RECIPES, Recipe
from mobilevlm_host.sensitivity.part_costs import Sensitivity

_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def parse_bytes(text: str) -> int:
    """Parse a size such as ``900MB``, ``1.2 GB`` or ``5000000``; 1 MB is a million bytes.

    Raises:
        QuantizeError: ``text`` is not a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]b|)", text.strip().lower())
    if not found:
        raise QuantizeError(f"budget: got {text!r}, expected a size like 900MB or 1.2GB")
    return int(float(found[1]) * _UNITS[found[2]])


def propose(sensitivity: Sensitivity, budget: int, name: str) -> Recipe:
    """The recipe with the least total KL whose weights take at most ``budget`` bytes.

    Raises:
        QuantizeError: no recipe fits.
    """
    choices: dict[str, list[tuple[int, float, str]]] = {}
    for cost in sensitivity.costs:
        choices.setdefault(cost.component, [(0, 0.0, "fp32")]).append((cost.bytes_saved, cost.mean_kl, cost.scheme))
    frontier: list[tuple[int, float, dict[str, str]]] = [(0, 0.0, {})]
    for component, options in choices.items():
        frontier = _undominated(
            [
                (saved + more, kl + extra, chosen | {component: scheme})
                for saved, kl, chosen in frontier
                for more, extra, scheme in options
            ]
        )
    fitting = [each for each in frontier if sensitivity.fp32_bytes - each[0] <= budget]
    if not fitting:
        least = sensitivity.fp32_bytes - max(saved for saved, _, _ in frontier)
        raise QuantizeError(
            f"budget: got {megabytes(budget)}, expected at least {megabytes(least)}, the least that any recipe's weights take"
        )
    return _recipe(min(fitting, key=lambda each: each[1])[2], name)


def _undominated(states: list[tuple[int, float, dict[str, str]]]) -> list[tuple[int, float, dict[str, str]]]:
    """The states for which no other saves at least as many bytes at less KL."""
    kept: list[tuple[int, float, dict[str, str]]] = []
    for state in sorted(states, key=lambda each: (-each[0], each[1])):
        if not kept or state[1] < kept[-1][1]:
            kept.append(state)
    return kept


def _recipe(chosen: dict[str, str], name: str) -> Recipe:
    layers = {key.removeprefix("llm "): scheme for key, scheme in chosen.items() if key.startswith("llm ")}
    schemes = list(layers.values())
    llm = max(schemes, key=schemes.count)
    others = ",".join(f"{group}={scheme}" for group, scheme in layers.items() if scheme != llm)
    parts = {key: scheme for key, scheme in chosen.items() if not key.startswith("llm ")}
    values = RECIPES["fp32"].to_json() | parts | {"name": name, "llm": llm, "llm_layers": others}
    return Recipe(**values)
