"""Deterministic noise images; Pillow's own noise depends on what was drawn before."""

from __future__ import annotations

import numpy as np
from PIL import Image


def noise(width: int, height: int) -> Image.Image:
    """Gray noise, RGB."""
    values = np.random.default_rng(0).normal(128, 90, (height, width)).clip(0, 255)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
