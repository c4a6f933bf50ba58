"""A dozen drawn images that differ in shape, color, detail and light, like a camera's, for any model.

They are drawn on demand and deterministic, so only this file is shipped.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Floats = NDArray[np.float64]


def pictures() -> dict[str, Image.Image]:
    """Each image (RGB) by name; sizes and aspect ratios differ."""
    return {name.replace("_", " "): draw() for name, draw in _DRAWN.items()}


def _canvas(width: int, height: int, color: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), color)
    return image, ImageDraw.Draw(image)


def _from_floats(values: Floats) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8))


def _grid(width: int, height: int) -> tuple[Floats, Floats]:
    y, x = np.mgrid[0:height, 0:width]
    return x / width, y / height


def _noise(width: int, height: int, seed: int) -> Floats:
    """Smooth noise in [0, 1]: octaves of random grids, each finer and weaker than the last."""
    random, total = np.random.default_rng(seed), np.zeros((height, width))
    for octave in range(1, 7):
        cells = Image.fromarray(random.random((2**octave + 1, 2**octave + 1)).astype(np.float32))
        total += np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    span = total.max() - total.min()
    return (total - total.min()) / span


def _landscape() -> Image.Image:
    x, y = _grid(640, 427)
    image = np.stack([0.35 + 0.5 * y, 0.6 + 0.3 * y, np.full_like(y, 0.95)], -1)
    for depth, seed in enumerate((3, 5, 8)):
        ridge = 0.45 + 0.13 * depth + 0.2 * (_noise(640, 4, seed)[0] - 0.5)
        image[y > ridge[None, :]] = np.array([0.35, 0.5, 0.4]) / (1 + 0.6 * depth)
    image[(x - 0.8) ** 2 + ((y - 0.2) * 0.667) ** 2 < 0.003] = (1, 0.95, 0.6)
    return _from_floats(image)


def _text_page() -> Image.Image:
    image, draw = _canvas(480, 620, "#f8f6f0")
    lines = (
        "Dear reader,",
        "",
        "the meeting on Monday",
        "is at 10:30 in room 7.",
        "Please bring 3 copies",
        "and a pen.",
        "",
        "Yours, Ada",
    )
    for at, line in enumerate(lines):
        draw.text((50, 60 + 58 * at), line, fill="#222", font=ImageFont.load_default(36))
    return image.rotate(2, resample=Image.Resampling.BICUBIC, fillcolor="#776655")


def _bar_chart() -> Image.Image:
    image, draw = _canvas(600, 400, "white")
    for at, (value, color) in enumerate(
        zip((40, 95, 62, 20, 78), ("#4472c4", "#ed7d31", "#70ad47", "#ffc000", "#7030a0"), strict=True)
    ):
        left = 80 + 100 * at
        draw.rectangle((left, 350 - 3 * value, left + 60, 350), fill=color)
        draw.text((left + 12, 355), f"Q{at + 1}", fill="black", font=ImageFont.load_default(24))
    draw.line((60, 40, 60, 350, 580, 350), fill="black", width=3)
    return image


def _street_sign() -> Image.Image:
    image, draw = _canvas(420, 560, "#9fb4c7")
    draw.rectangle((200, 300, 220, 560), fill="#555")
    corners = [(210 + 150 * np.cos(a), 190 + 150 * np.sin(a)) for a in np.arange(8) * np.pi / 4 + np.pi / 8]
    draw.polygon(corners, fill="#c01820", outline="white", width=8)
    draw.text((210, 190), "STOP", fill="white", anchor="mm", font=ImageFont.load_default(84))
    return image


def _night() -> Image.Image:
    """Dark and grainy, like a small sensor's photo of a lamp."""
    x, y = _grid(512, 384)
    lamp = np.exp(-(((x - 0.3) ** 2) + (y - 0.4) ** 2) * 60)[..., None] * np.array([1, 0.8, 0.4])
    grain = np.random.default_rng(1).normal(0, 0.03, (384, 512, 3))
    return _from_floats(0.04 + lamp + grain)


def _tiles() -> Image.Image:
    """A tiled floor in perspective: fine detail that a poor resize turns into stripes."""
    x, y = _grid(500, 500)
    depth = 1 / (y + 0.08)
    light = (np.floor((x - 0.5) * depth * 14) + np.floor(depth * 20)) % 2
    return _from_floats(np.stack([0.25 + 0.7 * light] * 3, -1))


def _marble() -> Image.Image:
    noise = _noise(400, 300, 11)
    veins = np.abs(np.sin(noise * 18))
    return _from_floats(np.stack([0.6 + 0.4 * veins, 0.55 + 0.4 * veins, 0.5 + 0.45 * noise], -1))


def _receipt() -> Image.Image:
    image, draw = _canvas(220, 900, "#fdfdfd")
    for at in range(20):
        price = f"{(at * 37) % 19},{(at * 53) % 100:02d}"
        draw.text((15, 20 + 42 * at), f"item {at + 1}", fill="#333", font=ImageFont.load_default(24))
        draw.text((205, 20 + 42 * at), price, fill="#333", anchor="ra", font=ImageFont.load_default(24))
    return image


def _panorama() -> Image.Image:
    x, y = _grid(1200, 240)
    skyline = 0.35 + 0.5 * np.repeat(np.random.default_rng(4).random(60), 20)
    lit = ((np.floor(x * 300) % 3 == 0) & (np.floor(y * 40) % 3 == 0))[..., None]
    sky = np.stack([0.9 - 0.4 * y, 0.5 + 0.1 * y, 0.5 + 0.2 * y], -1)
    houses = np.where(lit, (1, 0.9, 0.5), (0.15, 0.15, 0.2))
    return _from_floats(np.where((y > skyline[None, :])[..., None], houses, sky))


def _face() -> Image.Image:
    image, draw = _canvas(300, 400, "#87a96b")
    draw.ellipse((60, 80, 240, 330), fill="#e0ac69")
    draw.pieslice((55, 60, 245, 240), 180, 360, fill="#3b2314")
    for left in (105, 170):
        draw.ellipse((left, 180, left + 25, 195), fill="white")
        draw.ellipse((left + 8, 181, left + 18, 194), fill="#224")
    draw.arc((115, 220, 185, 285), 20, 160, fill="#933", width=6)
    return image.filter(ImageFilter.GaussianBlur(1.5))


def _fruit() -> Image.Image:
    x, y = _grid(448, 448)
    image = np.broadcast_to(np.array([0.85, 0.8, 0.7]), (448, 448, 3)).copy()
    for cx, cy, color in ((0.35, 0.6, (0.8, 0.1, 0.1)), (0.6, 0.55, (0.9, 0.6, 0.1)), (0.5, 0.35, (0.5, 0.75, 0.2))):
        inside = (x - cx) ** 2 + (y - cy) ** 2 < 0.028
        light = np.exp(-((x - cx + 0.06) ** 2 + (y - cy + 0.06) ** 2) * 40)[..., None]
        image[inside] = (np.array(color) * (0.45 + 0.6 * light) + 0.25 * light**4)[inside]
    return _from_floats(image)


def _overexposed() -> Image.Image:
    x, y = _grid(360, 270)
    return _from_floats(0.75 + 0.5 * np.stack([np.sin(9 * x), np.cos(7 * y), x * y], -1))


_DRAWN: dict[str, Callable[[], Image.Image]] = {
    draw.__name__.removeprefix("_"): draw
    for draw in (
        _landscape, _text_page, _bar_chart, _street_sign, _night, _tiles, _marble, _receipt, _panorama, _face, _fruit, _overexposed,
    )
}  # fmt: skip
