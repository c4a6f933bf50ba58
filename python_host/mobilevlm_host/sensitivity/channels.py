"""How far the largest input channel of a linear is from the median one, in the activations over all tokens and in the weights.

Activations are rounded with one scale per token, so each token counts relative to its own root mean square. A token that is
large as a whole, as the first one of a text often is, then says no more than the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilevlm_export.dependencies.torchao_private import is_quantized


@dataclass(frozen=True)
class Ratios:
    """The largest channel's root mean square relative to the median channel's: of the weights' columns and of the activations."""

    weights: float
    activations: float


@dataclass
class _Sums:
    """Sums of squares [K] of the channels that linears read: of their weights' columns, and of the activations."""

    weights: Tensor
    activations: Tensor


class ChannelWatch:
    """Watches what linears read. Linears that read the same tensor are one place, with the path of the first."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    @property
    def ratios(self) -> Mapping[str, Ratios]:
        """The ratios for each place seen so far, in the order of the data path."""
        return {place: Ratios(_ratio(sums.weights), _ratio(sums.activations)) for place, sums in self._sums.items()}

    @contextmanager
    def watching(self, place: str, module: nn.Module, lengths: Sequence[int]) -> Iterator[None]:
        """Watch the linears of ``module``, at ``place``, while it runs on inputs [N, T, K], of which as many tokens count as
        ``lengths`` says.
        """
        weighed = set(self._sums)  # the weights are the same for all samples
        current: tuple[str, Tensor | None] = "", None

        def see(path: str, linear: nn.Linear, inputs: Tensor) -> None:
            nonlocal current
            if inputs is not current[1]:
                current = place if place == path else f"{place}.{path}", inputs
                width = inputs.shape[-1]
                sums = self._sums.setdefault(current[0], _Sums(torch.zeros(width), torch.zeros(width)))
                for sample, length in zip(inputs, lengths, strict=True):
                    squares = sample[:length].square()
                    sums.activations += (squares / squares.mean(1, keepdim=True).clamp(min=1e-30)).sum(0)
            if current[0] not in weighed:
                weight = linear.weight.dequantize() if is_quantized(linear.weight) else linear.weight
                self._sums[current[0]].weights += weight.square().sum(0)

        hooks = [
            linear.register_forward_pre_hook(lambda linear, inputs, path=path: see(path, linear, inputs[0]))
            for path, linear in module.named_modules()
            if isinstance(linear, nn.Linear)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _ratio(sums: Tensor) -> float:
    """Channels that are always zero don't count."""
    used = sums[sums > 0]
    return float((used.max() / used.median()).sqrt()) if len(used) else 1.0
