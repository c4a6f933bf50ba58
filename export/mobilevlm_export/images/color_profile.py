"""Convert an image's colors to sRGB, which models are trained on and phones decode to."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

_SRGB = ImageCms.createProfile("sRGB")
_MODES = {
    "RGB ": ("RGB", "RGBA", "L", "LA", "P", "PA"),
    "GRAY": ("L", "LA"),
    "CMYK": ("CMYK",),
}  # by a profile's color space
_ROUNDING = 1  # of 255: how much copies of sRGB differ from sRGB by rounding


def to_srgb(image: Image.Image) -> Image.Image:
    """``image`` with its embedded ICC profile applied, as RGB or RGBA; unchanged if it has no profile or its profile is sRGB.

    Like image viewers, this ignores a profile that is damaged or for another color space than the image's.
    """
    embedded = image.info.get("icc_profile")
    if not embedded:
        return image
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(embedded))
        space = profile.profile.xcolor_space
        if image.mode not in _MODES.get(space, ()) or (space == "RGB " and _is_srgb(profile)):
            return image
        alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
        colors = image.convert({"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space])
        converted = ImageCms.profileToProfile(colors, profile, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image
    assert converted is not None  # None only for a conversion in place
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether ``profile`` changes no color by more than rounding: converting would only add noise."""
    steps = range(0, 256, 15)
    lattice = Image.frombytes(
        "RGB", (18 * 18, 18), bytes(v for r in steps for g in steps for b in steps for v in (r, g, b))
    )
    moved = ImageCms.profileToProfile(lattice, profile, _SRGB)
    assert moved is not None
    return max(abs(a - b) for a, b in zip(lattice.tobytes(), moved.tobytes(), strict=True)) <= _ROUNDING
