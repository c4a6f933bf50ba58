"""An image file → Pillow's image: common formats only, of limited size, and a one-line error for whatever is damaged."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import (  # noqa: F401  each plugin registers its format
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from mobilevlm_export.errors import ImageError

MAX_PIXELS = 178_956_970  # Pillow's limit for decompression bombs: a 24-bit image of half a gigabyte
MAX_SIDE = 1_000_000
MAX_BYTES = 1 << 30
# Common formats. Pillow reads far more, some of them by starting other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_HEIC = "HEIF"  # as pillow-heif calls it
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

ImageSource = str | Path | bytes | BinaryIO


def read_image_bytes(source: ImageSource, name: object) -> bytes:
    """The bytes of ``source``, at most as many as an image may have; ``name`` is for errors.

    Raises:
        ImageError: it is missing, empty or too large.
    """
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                data = _bounded(file, name)
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise ImageError(f"{name}: {reason}, expected an image") from None
    else:
        data = source if isinstance(source, bytes) else _bounded(source, name)
    if not data:
        raise ImageError(f"{name}: got an empty file, expected an image")
    return data


def _bounded(file: BinaryIO, name: object) -> bytes:
    """All of ``file``, which may be a pipe or an endless device."""
    read = bytearray()
    while chunk := file.read(1 << 20):
        read += chunk
        if len(read) > MAX_BYTES:
            raise ImageError(f"{name}: got more than {MAX_BYTES} bytes, expected a smaller image")
        if len(read) >= 16 and not _may_be_image(bytes(read[:16])):
            break  # not an image, whatever follows
    return bytes(read)


def _may_be_image(prefix: bytes) -> bool:
    """Whether a file of one of ``FORMATS``, or HEIC, may begin with these 16 bytes."""
    return _is_heic(prefix) or any((accepts := Image.OPEN[name][1]) and accepts(prefix) for name in FORMATS)


def _is_heic(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS


def _register_heic(name: object) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            f"{name}: got a HEIC image, expected JPEG, PNG or the like; to read HEIC: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener()


@contextmanager
def opened_image(data: bytes, name: object) -> Iterator[Image.Image]:
    """The image in ``data``, opened by Pillow but not opened_image yet; supported formats only.

    Raises:
        ImageError: it has too many pixels, or needs a package that isn't installed.
        Exception: whatever Pillow raises; :func:`image_errors` turns it into one line.
    """
    formats: tuple[str, ...] = FORMATS
    if _is_heic(data):
        _register_heic(name)
        formats = (_HEIC,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about unusual metadata, which doesn't matter here
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise ImageError(
                    f"{name}: got {image.width} x {image.height} pixels, expected at most {MAX_PIXELS}, and {MAX_SIDE} on a side"
                )
            yield image


@contextmanager
def image_errors(name: object, size: int) -> Iterator[None]:
    """Turn whatever Pillow raises about the ``size`` bytes of ``name`` into an ImageError of one line."""
    try:
        yield
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: got an image too large to decode, expected at most {MAX_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: got {size} bytes that are not an image, expected JPEG, PNG or the like") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(
            f"{name}: got an image that needs more memory than is available, expected a smaller one"
        ) from None
    except Exception as error:  # a damaged file makes decoders raise anything: struct.error, KeyError, zlib.error, …
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ImageError(f"{name}: got a damaged image ({reason:.100}), expected a complete one") from None
