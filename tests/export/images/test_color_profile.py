"""Users' images are converted to sRGB, as on phones; benchmarks and training use the stored values, like the authors' scripts."""

from __future__ import annotations

import io

import numpy as np
import pytest
from golden.make import display_p3
from numpy.typing import NDArray
from PIL import Image, ImageCms
from repository import GOLDEN

from mobilevlm_export.images.color_profile import to_srgb
from mobilevlm_export.images.reference_image import open_as_reference
from mobilevlm_export.pixels import open_image

PROFILES = GOLDEN / "profiles"
TOLERANCE = 2  # of 255


def _golden(name: str) -> NDArray[np.int16]:
    return np.array(Image.open(PROFILES / f"{name}.ppm")).astype(np.int16)


def _pixels(image: Image.Image) -> NDArray[np.int16]:
    assert image.mode == "RGB"
    return np.array(image).astype(np.int16)


@pytest.mark.parametrize(
    ("name", "seen", "tolerance"),
    [("display-p3", "in-srgb", TOLERANCE), ("broken", "as-stored", 0), ("none", "as-stored", 0)],
)
def test_the_golden_pictures(name: str, seen: str, tolerance: int) -> None:
    assert np.abs(_pixels(open_image(PROFILES / f"{name}.png")) - _golden(seen)).max() <= tolerance
    assert np.array_equal(_pixels(open_as_reference(PROFILES / f"{name}.png", name)), _golden("as-stored"))


def test_the_golden_profile_matters() -> None:
    assert np.abs(_golden("in-srgb") - _golden("as-stored")).max() > 50


def _with(image: Image.Image, profile: bytes) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=profile)
    return Image.open(io.BytesIO(file.getvalue()))


def test_a_copy_of_srgb_changes_nothing() -> None:
    """Most photos contain such a profile; their pixels must equal the reference's exactly."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = _with(Image.open(PROFILES / "none.png"), srgb)
    assert to_srgb(image) is image


def test_transparency_is_kept() -> None:
    stored = Image.open(PROFILES / "none.png").convert("RGBA")
    stored.putalpha(Image.linear_gradient("L").resize(stored.size))
    converted = to_srgb(_with(stored, display_p3()))
    assert converted.mode == "RGBA"
    assert converted.getchannel("A").tobytes() == stored.getchannel("A").tobytes()
    assert np.abs(_pixels(converted.convert("RGB")) - _golden("in-srgb")).max() <= TOLERANCE


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "I;16", "CMYK"])
def test_a_mismatched_profile_is_ignored(mode: str) -> None:
    """Gray stays gray in any RGB profile with the same white point; a profile for another mode is ignored."""
    image = Image.new(mode, (4, 4)) if mode == "I;16" else Image.open(PROFILES / "none.png").convert(mode)
    image.info["icc_profile"] = display_p3()
    assert to_srgb(image).size == image.size
    if mode == "L":
        bands = _pixels(to_srgb(image))
        assert np.abs(bands - np.array(image).astype(np.int16)[..., None]).max() <= TOLERANCE
