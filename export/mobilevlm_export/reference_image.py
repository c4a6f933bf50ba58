"""Pictures of benchmarks and training data, opened as the authors' scripts open them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from mobilevlm_export.errors import ImageError


def open_as_reference(source: str | Path | BinaryIO, name: str) -> Image.Image:
    """The picture ``source``, called ``name`` in errors, by Pillow's plain conversion to RGB.

    Unlike ``open_image`` for a user's picture, neither EXIF orientation nor color profile is applied, and transparency is dropped.

    Raises:
        ImageError: it is missing or not a whole picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which doesn't matter here
            with Image.open(source) as image:
                return image.convert("RGB")
    except UnidentifiedImageError:
        raise ImageError(f"{name}: got something else, expected a picture") from None
    except OSError as error:
        raise ImageError(f"{name}: got {error.strerror or error}, expected a whole picture") from None
    except (SyntaxError, ValueError, EOFError, IndexError, TypeError, Image.DecompressionBombError) as error:
        raise ImageError(f"{name}: got a damaged picture ({error}), expected a whole one") from None
