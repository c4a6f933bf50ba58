"""Synthetic scenes for the demo model: colored shapes, digits and short words, drawn from a seed.

A scene is one to four objects, each at one of five named places. The seed determines everything, identically on every
machine; :func:`render` draws the scene cleanly, or as a phone's photo of a print.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mobilevlm_export.demo.camera import photograph

Kind = Literal["shape", "digit", "word"]

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 38),
    "orange": (245, 130, 20),
    "yellow": (240, 205, 0),
    "green": (22, 150, 62),
    "blue": (28, 82, 214),
    "purple": (136, 48, 168),
    "black": (24, 24, 28),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
DIGITS = tuple("0123456789")
WORDS = (
    "CAT",
    "DOG",
    "SUN",
    "TEA",
    "BUS",
    "CUP",
    "HAT",
    "KEY",
    "MAP",
    "PEN",
    "RED",
    "STOP",
    "EXIT",
    "OPEN",
    "YES",
    "NO",
)
# The center of each place, as fractions of the image's side: x, y.
PLACES: dict[str, tuple[float, float]] = {
    "top left": (0.23, 0.23),
    "top right": (0.77, 0.23),
    "center": (0.5, 0.5),
    "bottom left": (0.23, 0.77),
    "bottom right": (0.77, 0.77),
}

# Seeds of the two sets, which share no scene.
TRAIN_SEEDS = range(10_000_000)
HELD_OUT_SEEDS = range(1_000_000_000, 1_000_100_000)

_SUPERSAMPLE = 2


@dataclass(frozen=True)
class SceneObject:
    """One object in a scene. ``size`` is its diameter as a fraction of the image's side; ``angle`` is in degrees."""

    kind: Kind
    name: str
    color: str
    place: str
    x: float
    y: float
    size: float
    angle: float

    @property
    def words(self) -> tuple[str, str]:
        """Its color and name, as in a caption."""
        return self.color, self.name

    @property
    def phrase(self) -> str:
        """``red circle``, ``blue 7``, ``green word CAT``."""
        return f"{self.color} word {self.name}" if self.kind == "word" else f"{self.color} {self.name}"


@dataclass(frozen=True)
class Scene:
    """Objects in reading order of their places, on a background that fades from ``tint`` to ``tint_end``."""

    seed: int
    objects: tuple[SceneObject, ...]
    tint: tuple[int, int, int]
    tint_end: tuple[int, int, int]
    texture: float


def make_scene(seed: int) -> Scene:
    """The scene of ``seed``: one to four objects, at most one digit and one word among them."""
    random = Random(f"scene {seed}")
    count = random.choice((1, 2, 2, 3, 3, 4))
    places = random.sample(list(PLACES), count)
    kinds: list[Kind] = ["shape"] * count
    for kind in ("digit", "word"):
        if random.random() < 0.38:
            kinds[random.randrange(count)] = kind
    # Few shapes and colors per scene, so that the same one often occurs twice and counting is meaningful.
    shapes = random.sample(SHAPES, random.choice((1, 2, 3, 4)))
    colors = random.sample(list(COLORS), random.choice((1, 2, 3, 4)))
    placed = zip(sorted(places, key=list(PLACES).index), kinds, strict=True)
    objects = tuple(_make_object(random, place, kind, shapes, colors) for place, kind in placed)
    tint = _light(random)
    return Scene(seed, objects, tint, _light(random) if random.random() < 0.5 else tint, random.choice((0, 0, 3, 6)))


def _make_object(random: Random, place: str, kind: Kind, shapes: list[str], colors: list[str]) -> SceneObject:
    name = random.choice({"shape": shapes, "digit": DIGITS, "word": WORDS}[kind])
    x, y = PLACES[place]
    return SceneObject(
        kind=kind,
        name=name,
        color=random.choice(colors),
        place=place,
        x=x + random.uniform(-0.025, 0.025),
        y=y + random.uniform(-0.025, 0.025),
        size=random.uniform(0.27, 0.33) if kind == "shape" else random.uniform(0.33, 0.39),
        angle=random.uniform(-12, 12),
    )


def _light(random: Random) -> tuple[int, int, int]:
    level = random.randint(212, 246)
    red, green, blue = (min(255, level + random.randint(-12, 9)) for _ in range(3))
    return red, green, blue


def render(scene: Scene, *, size: int = 224, camera: bool = False) -> Image.Image:
    """Draw ``scene`` as an RGB image of ``size`` pixels square; with ``camera``, as a photo of a print of it."""
    side = size * _SUPERSAMPLE
    image = _background(scene, side)
    for item in scene.objects:
        _draw(image, item, side)
    image = image.resize((size, size), Image.Resampling.BOX)
    return photograph(image, scene.seed) if camera else image


def regions(scene: Scene, grid: int) -> NDArray[np.int64]:
    """The index of the object that covers each cell of a ``grid`` × ``grid`` map of the clean image: int64 [grid, grid], -1 for none."""
    centers = (np.arange(grid) + 0.5) / grid
    covering = np.full((grid, grid), -1, dtype=np.int64)
    for index, item in enumerate(scene.objects):
        half_x, half_y = item.size / 2, item.size / 2 * (0.5 if item.kind == "word" else 0.9)
        inside = (np.abs(centers[None, :] - item.x) < half_x) & (np.abs(centers[:, None] - item.y) < half_y)
        covering[inside] = index
    return covering


def _background(scene: Scene, side: int) -> Image.Image:
    start, end = np.array(scene.tint, dtype=np.float32), np.array(scene.tint_end, dtype=np.float32)
    small = 32
    ramp = np.linspace(0, 1, small, dtype=np.float32)[:, None, None]
    pixels = np.broadcast_to(start + (end - start) * ramp, (small, small, 3)).copy()
    if scene.texture:
        noise = np.random.default_rng(scene.seed).normal(0, scene.texture, (small, small, 1))
        pixels += noise.astype(np.float32)
    background = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return background.resize((side, side), Image.Resampling.BILINEAR)


def _draw(image: Image.Image, item: SceneObject, side: int) -> None:
    color = COLORS[item.color]
    x, y, radius = item.x * side, item.y * side, item.size * side / 2
    if item.kind == "shape":
        _draw_shape(ImageDraw.Draw(image), item.name, (x, y), radius, math.radians(item.angle), color)
    else:
        _draw_text(image, item, (x, y), radius, color)


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    name: str,
    middle: tuple[float, float],
    radius: float,
    angle: float,
    color: tuple[int, int, int],
) -> None:
    x, y = middle
    if name == "circle":
        radius *= 0.9
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        return
    cos, sin = math.cos(angle), math.sin(angle)
    outline = [(x + radius * (u * cos - v * sin), y + radius * (u * sin + v * cos)) for u, v in _OUTLINES[name]]
    draw.polygon(outline, fill=color)


def _star() -> list[tuple[float, float]]:
    turns = [(index * math.pi / 5 - math.pi / 2, 1.08 if index % 2 == 0 else 0.45) for index in range(10)]
    return [(length * math.cos(turn), length * math.sin(turn)) for turn, length in turns]


def _heart() -> list[tuple[float, float]]:
    turns = [index * 2 * math.pi / 48 for index in range(48)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16 - 0.08,
        )
        for t in turns
    ]


_ARM = 0.32
_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
    "star": _star(),
    "heart": _heart(),
}  # fmt: skip


def _draw_text(
    image: Image.Image, item: SceneObject, middle: tuple[float, float], radius: float, color: tuple[int, int, int]
) -> None:
    box = round(2.2 * radius)
    stencil = _stencil(item.name, box).rotate(-item.angle / 2, Image.Resampling.BILINEAR)
    image.paste(color, (round(middle[0] - box / 2), round(middle[1] - box / 2)), stencil)


def _stencil(text: str, box: int) -> Image.Image:
    """``text`` in bold, as large as fits into a square of ``box`` pixels."""
    stencil = Image.new("L", (box, box))
    draw = ImageDraw.Draw(stencil)
    trial = 64
    left, top, right, bottom = draw.textbbox((0, 0), text, font=_font(trial), stroke_width=trial // 16)
    scale = 0.9 * box / max(right - left, bottom - top)
    size = max(8, int(trial * scale))
    stroke = max(1, size // 16)
    draw.text((box / 2, box / 2), text, fill=255, font=_font(size), anchor="mm", stroke_width=stroke, stroke_fill=255)
    return stencil


_FONTS: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]
