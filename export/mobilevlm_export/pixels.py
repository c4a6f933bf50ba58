"""An image → the square of pixels that the vision encoder reads, computed exactly as the reference does.

Source: the authors' ``expand2square`` (pad with the mean color) and transformers' ``CLIPImageProcessor`` (Pillow's bicubic, which
is antialiased and computes in 8-bit fixed point). Normalization is the first step of the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mobilevlm_export.config import CLIP_MEAN, MobileVLMConfig
from mobilevlm_export.errors import ImageError
from mobilevlm_export.images.color_profile import to_srgb
from mobilevlm_export.images.image_file import ImageSource, image_errors, opened_image, read_image_bytes
from mobilevlm_export.images.square_resize import padded_and_resized

PAD_COLOR = tuple(int(mean * 255) for mean in CLIP_MEAN)  # (122, 116, 104)
_STRIP = 1 << 20  # pixels converted to RGB at a time


def open_image(source: ImageSource) -> Image.Image:
    """Open an image as RGB: EXIF orientation applied, color profile converted to sRGB, transparency composed over the mean color.

    Supported formats are those in ``FORMATS``, and HEIC if the package ``pillow-heif`` is installed.

    Raises:
        ImageError: the source is missing, empty, not an image, truncated, or too large to decode safely.
    """
    name = source if isinstance(source, (str, Path)) else "image"
    data = read_image_bytes(source, name)
    with image_errors(name, len(data)), opened_image(data, name) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def open_images(folder: Path) -> Iterator[tuple[Path, Image.Image]]:
    """Every image in ``folder``, sorted by name and opened with :func:`open_image`; other files are skipped."""
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        try:
            yield path, open_image(path)
        except ImageError:
            continue  # a folder of images often holds other files too


def preprocess(image: Image.Image, config: MobileVLMConfig) -> Tensor:
    """``image`` (RGB) as pixels: torch.uint8 [3, S, S], padded to a square with the mean color and resized (bicubic).

    Raises:
        ImageError: the image isn't RGB, or has no pixels.
    """
    if image.mode != "RGB":
        raise ImageError(f"image: got mode {image.mode}, expected RGB (open_image makes it)")
    if 0 in image.size:
        raise ImageError(f"image: got {image.width} x {image.height} pixels, expected at least 1 x 1")
    return square_pixels(image, config.vision.image_size, config.pad_color)


def square_pixels(image: Image.Image, side: int, pad_color: tuple[int, int, int]) -> torch.Tensor:
    """``image`` (RGB) padded to a square with ``pad_color`` and resized: uint8 [3, side, side]."""
    square = padded_and_resized(image, side, pad_color)
    return torch.from_numpy(square.transpose(2, 0, 1).copy())


def _to_rgb(image: Image.Image) -> Image.Image:
    """``image`` of any mode as RGB, a strip of rows at a time: intermediate results take several times the image's memory."""
    if image.mode == "RGB" and not image.has_transparency_data and "icc_profile" not in image.info:
        return image.convert("RGB")
    width, height = image.size
    whole = Image.new("RGB", image.size)
    rows = max(_STRIP // width, 1)
    for top in range(0, height, rows):
        whole.paste(_strip_to_rgb(image.crop((0, top, width, min(top + rows, height)))), (0, top))
    return whole


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    image = to_srgb(image)
    if image.mode.startswith("I"):  # 16 bits a sample; Pillow may have widened them to 32
        samples = np.asarray(image).astype(np.int64).clip(0, 65535)
        # Round to the nearest of 256 levels: a plain conversion would clip at 255.
        image = Image.fromarray(((samples * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(np.asarray(image).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*PAD_COLOR, 255))
        image = Image.alpha_composite(backdrop, image)
    return image.convert("RGB")
