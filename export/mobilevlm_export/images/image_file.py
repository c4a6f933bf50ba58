"""A picture's file → Pillow's image: formats that users have and no others, within bounds, and one line for whatever is damaged."""

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

MAX_PIXELS = 178_956_970  # Pillow's own bound for a bomb: what a 24-bit image of half a gigabyte holds
MAX_SIDE = 1_000_000
MAX_BYTES = 1 << 30
# What users have. Pillow reads far more, also by starting other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_HEIC = "HEIF"  # as pillow-heif calls it
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")

ImageSource = str | Path | bytes | BinaryIO


def read_picture(source: ImageSource, name: object) -> bytes:
    """The bytes of ``source``, which errors call ``name``: no more of it than a picture may have.

    Raises:
        ImageError: it is missing or empty, or has more bytes.
    """
    if isinstance(source, (str, Path)):
        try:
            with Path(source).open("rb") as file:
                data = _bounded(file, name)
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise ImageError(f"{name}: {reason}, expected a picture") from None
    else:
        data = source if isinstance(source, bytes) else _bounded(source, name)
    if not data:
        raise ImageError(f"{name}: got an empty file, expected a picture")
    return data


def _bounded(file: BinaryIO, name: object) -> bytes:
    """All of ``file``, which may be a pipe or a device without an end."""
    read = bytearray()
    while chunk := file.read(1 << 20):
        read += chunk
        if len(read) > MAX_BYTES:
            raise ImageError(f"{name}: got more than {MAX_BYTES} bytes, expected a smaller picture")
        if len(read) >= 16 and not _begins_a_picture(bytes(read[:16])):
            break  # it isn't one however long it is
    return bytes(read)


def _begins_a_picture(prefix: bytes) -> bool:
    """Whether a file of one of ``FORMATS``, or HEIC, may begin with these 16 bytes."""
    return _is_heic(prefix) or any((accepts := Image.OPEN[name][1]) and accepts(prefix) for name in FORMATS)


def _is_heic(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIC_BRANDS


def _register_heic(name: object) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            f"{name}: got a HEIC picture, expected JPEG, PNG or the like; HEIC is read with: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener()


@contextmanager
def decoded(data: bytes, name: object) -> Iterator[Image.Image]:
    """The picture that ``data`` holds, opened by Pillow but not read yet; only formats that this kit names.

    Raises:
        ImageError: it has too many pixels, or needs a package that isn't installed.
        Exception: whatever Pillow raises; :func:`picture_faults` makes one line of it.
    """
    formats: tuple[str, ...] = FORMATS
    if _is_heic(data):
        _register_heic(name)
        formats = (_HEIC,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which doesn't matter here
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise ImageError(
                    f"{name}: got {image.width} x {image.height} pixels, expected at most {MAX_PIXELS}, and {MAX_SIDE} on a side"
                )
            yield image


@contextmanager
def picture_faults(name: object, size: int) -> Iterator[None]:
    """Make one ImageError of whatever Pillow raises of the ``size`` bytes that ``name`` holds."""
    try:
        yield
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: got a picture too large to decode, expected at most {MAX_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: got {size} bytes that are not a picture, expected JPEG, PNG or the like") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(
            f"{name}: got a picture that needs more memory than there is, expected a smaller one"
        ) from None
    except Exception as error:  # a damaged file makes decoders raise anything: struct.error, KeyError, zlib.error, …
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ImageError(f"{name}: got a damaged picture ({reason:.100}), expected a whole one") from None
