"""Pictures of benchmarks and training data, opened as the authors' scripts open them."""

from __future__ import annotations

from PIL import Image

from mobilevlm_export.images.image_file import ImageSource, decoded, picture_faults, read_picture


def open_as_reference(source: ImageSource, name: str) -> Image.Image:
    """The picture ``source``, called ``name`` in errors, by Pillow's plain conversion to RGB.

    Unlike ``open_image`` for a user's picture, neither EXIF orientation nor color profile is applied, and transparency is dropped.

    Raises:
        ImageError: it is missing or not a whole picture.
    """
    data = read_picture(source, name)
    with picture_faults(name, len(data)), decoded(data, name) as image:
        return image.convert("RGB")
