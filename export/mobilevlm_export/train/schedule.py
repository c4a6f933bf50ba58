"""The learning rate over a run: linear warm-up, then a cosine to zero (the paper's, section 4.1)."""

from __future__ import annotations

import math


def learning_rate_scale(step: int, steps: int, warmup: float) -> float:
    """The factor for the peak rate at ``step``; ``warmup`` is a fraction of ``steps``."""
    begin = max(1, round(steps * warmup))
    if step < begin:
        return (step + 1) / begin
    return 0.5 * (1 + math.cos(math.pi * (step - begin) / max(1, steps - begin)))
