"""Images of benchmarks and training data, opened as the authors' scripts open them."""

from __future__ import annotations

from PIL import Image

from mobilevlm_export.images.image_file import ImageSource, image_errors, opened_image, read_image_bytes


def open_as_reference(source: ImageSource, name: str) -> Image.Image:
    """The image ``source``, converted to RGB by Pillow alone; ``name`` is for errors.

    Unlike ``open_image``, this applies neither EXIF orientation nor color profile, and drops transparency.

    Raises:
        ImageError: it is missing or not a complete image.
    """
    data = read_image_bytes(source, name)
    with image_errors(name, len(data)), opened_image(data, name) as image:
        return image.convert("RGB")
