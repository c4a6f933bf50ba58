"""A picture → the square of pixels that the vision encoder reads, exactly as the reference makes it.

Source: the authors' ``expand2square`` (pad with the mean colour) and transformers' ``CLIPImageProcessor`` (Pillow's bicubic, which
is antialiased and computes in fixed point on 8 bits). Normalisation is the model's own first step.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mobilevlm_export.color_profile import in_srgb
from mobilevlm_export.config import CLIP_MEAN, MobileVLMConfig
from mobilevlm_export.errors import ImageError

PAD_COLOR = tuple(int(mean * 255) for mean in CLIP_MEAN)  # (122, 116, 104)
MAX_PIXELS = 178_956_970  # Pillow's own bound for a bomb: what a 24-bit image of half a gigabyte holds

ImageSource = str | Path | bytes | BinaryIO


def open_image(source: ImageSource) -> Image.Image:
    """Open a user's picture as RGB: turned as its EXIF says, its color profile converted to sRGB, transparency composed over the
    mean color.

    Raises:
        ImageError: the source is missing, empty, not a picture, cut short, or too large to decode safely.
    """
    name = source if isinstance(source, (str, Path)) else "image"
    data = _read(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which doesn't matter here
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{name}: got {image.width} x {image.height} pixels, expected at most {MAX_PIXELS}")
            image.load()
            return _to_rgb(in_srgb(ImageOps.exif_transpose(image)))
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: got a picture too large to decode, expected at most {MAX_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: got {len(data)} bytes that are not a picture, expected JPEG, PNG or the like"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise ImageError(f"{name}: got a damaged picture ({error}), expected a whole one") from None


def open_images(folder: Path) -> Iterator[tuple[Path, Image.Image]]:
    """Every picture in ``folder``, by name, as :func:`open_image` has it; other files are passed over."""
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        try:
            yield path, open_image(path)
        except ImageError:
            continue  # a folder of pictures often holds other files too


def preprocess(image: Image.Image, config: MobileVLMConfig) -> Tensor:
    """``image`` (RGB) as pixels: torch.uint8 [3, S, S], padded to a square with the mean colour and resized, bicubic.

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
    square = _pad_to_square(image, pad_color).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def _pad_to_square(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new("RGB", (side, side), color)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _read(source: ImageSource, name: object) -> bytes:
    if isinstance(source, (str, Path)):
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise ImageError(f"{name}: {error.strerror}, expected a picture") from None
    else:
        data = source if isinstance(source, bytes) else source.read()
    if not data:
        raise ImageError(f"{name}: got an empty file, expected a picture")
    return data


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a sample, also where Pillow widens them to 32
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
