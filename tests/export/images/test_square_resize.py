"""Resizing without the square equals Pillow's on the whole square, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mobilevlm_export.images.square_resize import Bytes, Color, padded_and_resized

_MEAN = (122, 116, 104)


def _whole_square(image: Image.Image, side: int, color: Color) -> Bytes:
    square = max(image.size)
    padded = Image.new("RGB", (square, square), color)
    padded.paste(image, ((square - image.width) // 2, (square - image.height) // 2))
    return np.asarray(padded.resize((side, side), Image.Resampling.BICUBIC))


def _picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if rng.random() < 0.3:
        pixels = (pixels > 127).astype(np.uint8) * np.uint8(255)  # bicubic overshoots and must clip
    return Image.fromarray(pixels)


@pytest.mark.parametrize("seed", range(60))
def test_any_shape_color_and_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = (int(np.exp(rng.uniform(0, np.log(1500)))) for _ in range(2))
    side = int(rng.choice([56, 168, 336, rng.integers(1, 400)]))
    color = tuple(int(value) for value in rng.integers(0, 256, 3)) if seed % 2 else _MEAN
    assert len(color) == 3
    for size in ((width, height), (width, side), (side, height)):
        image = _picture(rng, *size)
        assert np.array_equal(padded_and_resized(image, side, color), _whole_square(image, side, color)), (size, side)


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1), (3, 3999), (3999, 2), (700, 4000), (4000, 701)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    image = _picture(np.random.default_rng(1), *size)
    assert np.array_equal(padded_and_resized(image, 336, _MEAN), _whole_square(image, 336, _MEAN))


@pytest.mark.parametrize("size", [(100_000, 150), (150, 100_000)])
def test_a_square_of_forty_gigabytes_is_never_allocated(size: tuple[int, int]) -> None:
    pixels = padded_and_resized(Image.new("RGB", size, "white"), 336, _MEAN)
    across = pixels[:, 168] if size[0] > size[1] else pixels[168]
    assert np.array_equal(across[0], _MEAN)
    # Half a pixel's width of white, over a kernel that looks four pixels wide.
    assert all(mean + 20 < got < 255 - 20 for mean, got in zip(_MEAN, across[168].tolist(), strict=True))
