"""Pad an image to a square and resize it, bit for bit like Pillow's bicubic, without ever allocating the square.

The square of a 1 × 30,000 image has 900 million pixels, almost all of them padding. Padding contributes its color times the sum of
its weights to an output pixel, so only the image's own pixels are read. Pillow resizes horizontally, then vertically, and rounds to
8 bits after each pass; along the image's longer side, which has no padding, the same is done here.

Source: the method of Pillow's ``Resample.c`` (8 bits per channel); a test compares with Pillow on the whole square.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_PRECISION_BITS = 32 - 8 - 2  # 8 bits for a color and 2 for the kernel's overshoot
_HALF = 1 << (_PRECISION_BITS - 1)
_SUPPORT = 2.0
_A = -0.5
_BLOCK = 1 << 18  # pixels resized at a time: a few megabytes as float64, however large the image is

Bytes = NDArray[np.uint8]
Color = tuple[int, int, int]


def padded_and_resized(image: Image.Image, side: int, pad_color: Color) -> Bytes:
    """``image`` (RGB) centered in a square of ``pad_color`` and resized: uint8 [side, side, 3]."""
    width, height = image.size
    square = max(width, height)
    if width == height:
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    if square == side:
        padded = Image.new("RGB", (side, side), pad_color)
        padded.paste(image, ((side - width) // 2, (side - height) // 2))
        return np.asarray(padded)
    return _resize_wide(image, side, pad_color) if width > height else _resize_tall(image, side, pad_color)


def _resize_wide(image: Image.Image, side: int, pad_color: Color) -> Bytes:
    """Resize the image's rows and one row of padding horizontally, then all vertically, with the padding's weights summed."""
    width, height = image.size
    rows = np.asarray(image.resize((side, height), Image.Resampling.BICUBIC)).reshape(height, side * 3)
    taps = list(_taps(width, side, (width - height) // 2, height))
    padding = np.stack([_padding_color(inside.sum() + outside, pad_color) for _, inside, outside in taps]).reshape(-1)
    out = [
        _rounded(inside @ rows[at : at + len(inside)].astype(np.float64) + outside * padding)
        for at, inside, outside in taps
    ]
    return np.stack(out).reshape(side, side, 3)


def _resize_tall(image: Image.Image, side: int, pad_color: Color) -> Bytes:
    """Resize horizontally to the columns that see any of the image, then those vertically; all other columns are padding."""
    width, height = image.size
    taps = list(_taps(height, side, (height - width) // 2, width))
    seeing = [x for x, (_, inside, _) in enumerate(taps) if len(inside)]
    seen = [taps[x] for x in seeing]
    narrow = np.empty((height, len(seeing), 3), np.uint8)
    block = max(_BLOCK // width, 1)
    for top in range(0, height, block):
        rows = image.crop((0, top, width, min(top + block, height)))
        columns = (
            np.asarray(rows.transpose(Image.Transpose.TRANSPOSE)).reshape(width, -1).astype(np.float64)
        )  # [W, block * 3]
        padding = np.tile(np.array(pad_color, np.float64), rows.height)
        sums = np.stack([inside @ columns[at : at + len(inside)] + outside * padding for at, inside, outside in seen])
        narrow[top : top + rows.height] = _rounded(sums).reshape(len(seen), -1, 3).transpose(1, 0, 2)
    totals = [inside.sum() + outside for _, inside, outside in taps]
    unseen = np.stack([_padding_color(total, pad_color) for total in totals])  # [side, 3]: each column's constant color
    out = np.stack([_rounded(total * unseen.astype(np.float64)) for total in totals])
    out[:, seeing] = np.asarray(Image.fromarray(narrow).resize((len(seeing), side), Image.Resampling.BICUBIC))
    return out


def _padding_color(weight: float, pad_color: Color) -> Bytes:
    return _rounded(weight * np.array(pad_color, np.float64))


def _rounded(sums: NDArray[np.float64]) -> Bytes:
    """Fixed-point sums (integers that a float64 holds exactly) rounded to 8 bits."""
    sums += _HALF
    return np.clip(sums.astype(np.int64) >> _PRECISION_BITS, 0, 255).astype(np.uint8)


def _taps(square: int, side: int, before: int, length: int) -> Iterator[tuple[int, NDArray[np.float64], float]]:
    """For each of ``side`` output pixels along one axis: the first image pixel that contributes, the weights from there on, and the
    sum of the padding's weights. The image's ``length`` pixels begin at ``before`` in the ``square``.
    """
    for first, weights in _weights(square, side):
        begin = min(max(before - first, 0), len(weights))
        end = max(min(before + length - first, len(weights)), begin)
        inside = weights[begin:end].copy()
        yield first + begin - before, inside, float(weights[:begin].sum() + weights[end:].sum())


def _weights(square: int, side: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """For each output pixel, the first input pixel and the weights from there on, as integers: ``1 << _PRECISION_BITS`` is 1."""
    scale = square / side
    widened = max(scale, 1.0)
    support = _SUPPORT * widened
    inverse = 1.0 / widened
    for index in range(side):
        center = (index + 0.5) * scale
        begin = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), square)
        exact = _bicubic((np.arange(end - begin, dtype=np.float64) + begin - center + 0.5) * inverse)
        total = np.add.accumulate(exact)[-1]  # in sequence, as C adds them
        fixed = (exact / total if total != 0 else exact) * (1 << _PRECISION_BITS)
        yield begin, np.trunc(fixed + np.where(fixed < 0, -0.5, 0.5))


def _bicubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(distance)
    near = ((_A + 2.0) * x - (_A + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _A
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
