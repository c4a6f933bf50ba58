"""Simulate a phone's photo of a printed image: askew, blurred, noisy, in colored light."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter


def photograph(image: Image.Image, seed: int) -> Image.Image:
    """``image`` (RGB, square) as photographed by a hand-held camera; deterministic for a ``seed``."""
    random = np.random.default_rng([seed, 0xCA3E7A])
    side = image.width
    surround = tuple(int(v) for v in random.integers(60, 200, 3))
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], dtype=np.float64)
    seen = corners + random.uniform(-0.05, 0.05, (4, 2)) * side + random.uniform(-0.02, 0.02, 2) * side
    photo = image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        _perspective(seen, corners),
        Image.Resampling.BILINEAR,
        fillcolor=surround,
    )
    photo = photo.filter(ImageFilter.GaussianBlur(float(random.uniform(0.2, 1.3)) * side / 224))
    pixels = np.asarray(photo, dtype=np.float32)
    light = random.uniform(0.75, 1.1) * random.uniform(0.93, 1.07, 3)
    slope = random.uniform(-0.12, 0.12, 2)
    ramp = np.linspace(-1, 1, side)
    shade = 1 + slope[0] * ramp[None, :, None] + slope[1] * ramp[:, None, None]
    noise = random.standard_normal((side, side, 1)) * random.uniform(1, 7)
    return Image.fromarray((pixels * light * shade + noise).clip(0, 255).astype(np.uint8))


def _perspective(source: np.ndarray, target: np.ndarray) -> tuple[float, ...]:
    """Pillow's eight perspective coefficients, which map the ``source`` corners to the ``target`` corners."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return tuple(float(c) for c in np.linalg.solve(np.array(rows), np.array(values)))
