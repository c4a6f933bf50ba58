"""Pixels equal the reference pipeline's bit for bit; every kind of image opens, and junk is rejected."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from mobilevlm_export.config import MobileVLMConfig, preset
from mobilevlm_export.errors import ImageError
from mobilevlm_export.images.reference_image import open_as_reference
from mobilevlm_export.pixels import open_image, preprocess

CONFIG = preset("1.7b")
MEAN_COLOR = (122, 116, 104)


def _noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.merge(mode, [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(channels)])


def _reference(image: Image.Image) -> torch.Tensor:
    """The authors' padding, then transformers' processor with the checkpoint's own settings, without normalization."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), MEAN_COLOR)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, do_rescale=False, do_normalize=False
    )
    return torch.as_tensor(np.asarray(processor(square, return_tensors="np")["pixel_values"][0])).to(torch.uint8)


@pytest.mark.parametrize(
    "size",
    [(336, 336), (1, 1), (1, 7), (9, 2), (337, 335), (335, 337), (640, 480), (101, 997), (1920, 1080), (17, 400)],
)
def test_pixels_are_the_references(size: tuple[int, int]) -> None:
    image = _noise(*size)
    pixels = preprocess(image, CONFIG)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 336, 336)
    assert torch.equal(pixels, _reference(image))


def test_a_huge_picture() -> None:
    image = _noise(4000, 3000)
    assert torch.equal(preprocess(image, CONFIG), _reference(image))


def test_normalization_is_the_processors() -> None:
    image = _noise(336, 336)
    expected = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})(
        image, return_tensors="np"
    )["pixel_values"][0]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CONFIG.vision.image_mean, CONFIG.vision.image_std))
    ours = (preprocess(image, CONFIG) / 255 - mean) / std
    assert (ours - torch.as_tensor(np.asarray(expected))).abs().max() < 1e-5


def test_the_padding_is_the_mean_color(tiny_config: MobileVLMConfig) -> None:
    pixels = preprocess(Image.new("RGB", (56, 14), (255, 0, 0)), tiny_config)
    assert tuple(pixels[:, 0, 0].tolist()) == MEAN_COLOR
    assert tuple(pixels[:, 28, 28].tolist()) == (255, 0, 0)


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def test_exif_rotation_is_applied() -> None:
    image = Image.new("RGB", (40, 20), "blue")
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; shown a quarter turn clockwise
    opened = open_image(_saved(image, "JPEG", exif=exif, quality=95))
    assert opened.size == (20, 40)
    assert opened.getpixel((10, 5))[0] > 200  # type: ignore[index]
    assert opened.getpixel((10, 35))[2] > 200  # type: ignore[index]


def test_transparency_is_composed_over_the_mean_color() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert open_image(_saved(clear, "PNG")).getpixel((0, 0)) == MEAN_COLOR
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30] * 256)
    assert open_image(_saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == MEAN_COLOR
    assert open_image(_saved(palette, "PNG")).getpixel((0, 0)) == (10, 20, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    opened = open_image(_saved(Image.fromarray(levels), "PNG"))
    assert [opened.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 1, 128, 255)]


_FORMS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "MPO")


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"), *(("RGB", form) for form in _FORMS)]
)
def test_every_mode_opens_as_rgb(mode: str, form: str) -> None:
    opened = open_image(_saved(_noise(30, 20, mode), form))
    assert (opened.mode, opened.size) == ("RGB", (30, 20))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got an empty file"),
        (b"hello", "got 5 bytes that are not an image"),
        (_saved(Image.new("RGB", (60, 60), "red"), "PNG")[:100], "got a damaged image"),
        (_saved(_noise(60, 60), "JPEG")[:-700], "got a damaged image"),
    ],
)
def test_junk_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        open_image(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_converting_in_strips_equals_converting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, opened = np.random.default_rng(3), []
    pictures = [_saved(_noise(37, 29, mode), "PNG") for mode in ("RGB", "RGBA", "LA", "L")]
    pictures.append(_saved(Image.fromarray(wide.integers(0, 65536, (29, 37), np.uint16)), "PNG"))
    pictures.append(_saved(_noise(37, 29).quantize(200), "PNG", transparency=bytes(range(200))))
    pictures.append(_saved(_noise(37, 29), "PNG", transparency=(1, 2, 3)))
    for strip in (1 << 20, 37 * 4, 1):
        monkeypatch.setattr("mobilevlm_export.pixels._STRIP", strip)
        opened.append([np.asarray(open_image(picture)) for picture in pictures])
    for at_once, *in_strips in zip(*opened, strict=True):
        assert all(np.array_equal(at_once, strips) for strips in in_strips)


def test_no_other_program_opens_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow passes PostScript to Ghostscript, whatever the file's name."""
    ghostscript, ran = tmp_path / "gs", tmp_path / "ran"
    ghostscript.write_text(f"#!/bin/sh\ntouch {ran}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    picture = tmp_path / "picture.png"
    picture.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    for opens in (open_image, lambda source: open_as_reference(source, "picture.png")):
        with pytest.raises(ImageError, match=r"picture\.png: got \d+ bytes that are not an image, expected JPEG"):
            opens(picture)
    assert not ran.exists()


def test_heic_opens_if_its_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    heic = (24).to_bytes(4, "big") + b"ftypheic" + bytes(12)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"got a HEIC image, expected .*pip install pillow-heif"):
        open_image(heic)
    shown = _noise(5, 4)

    def register() -> None:
        Image.register_open("HEIF", lambda fp, name: shown, lambda prefix: True)

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    assert np.array_equal(np.asarray(open_image(heic)), np.asarray(shown))


def test_an_endless_device_is_refused(tmp_path: Path) -> None:
    for device in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(ImageError, match="bytes that are not an image"):
            open_image(device)
    with pytest.raises(ImageError, match="expected an image"):
        open_image("a\0b.png")


def test_a_bomb_a_folder_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(bomb)
    with pytest.raises(ImageError, match="expected at most"):
        open_image(bomb)
    Image.new("1", (1_000_001, 1)).save(bomb)
    with pytest.raises(ImageError, match=r"got 1000001 x 1 pixels, expected .* 1000000 on a side"):
        open_image(bomb)
    with pytest.raises(ImageError, match="No such file"):
        open_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="Is a directory"):
        open_image(tmp_path)


def test_preprocess_requires_rgb_with_pixels(tiny_config: MobileVLMConfig) -> None:
    with pytest.raises(ImageError, match="got mode L, expected RGB"):
        preprocess(Image.new("L", (4, 4)), tiny_config)
    with pytest.raises(ImageError, match="got 0 x 4 pixels"):
        preprocess(Image.new("RGB", (0, 4)), tiny_config)
