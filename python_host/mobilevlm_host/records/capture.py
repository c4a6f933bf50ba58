"""A capture: a machine's results for one question, in a zip that another machine can replay.

``capture.json`` (format version 1): ``manifest_id``, ``backend``, ``device``, ``stats`` and ``record``; ``pixels.png``: the vision
encoder's input; ``picture.png``: the image that it was made from, if the user included it. The apps write the same format.
"""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mobilevlm_export import __version__
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import CaptureError, ImageError
from mobilevlm_export.files.atomic_file import atomic_file, require_place
from mobilevlm_export.files.plain_zip import ZIP_FAULTS, plain_member
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.files.strict_json import parse_json
from mobilevlm_export.job import BACKENDS
from mobilevlm_export.pixels import open_image
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.records.record import Record, make_record, pixels_sha256

FORMAT_VERSION = 1
_JSON, _PIXELS, _PICTURE = "capture.json", "pixels.png", "picture.png"
_LARGEST = {_JSON: 1 << 20, _PIXELS: 1 << 24, _PICTURE: 1 << 28}  # maximum unpacked sizes in bytes


@dataclass(frozen=True)
class Capture:
    """``pixels`` uint8 [3, S, S] and the ``record`` made from them; ``picture`` (RGB) is the image that the pixels were made from;
    ``backend``, one of ``BACKENDS``, is the artifact that answered, None if unknown.
    """

    manifest_id: str
    record: Record
    pixels: Tensor
    picture: Image.Image | None
    device: Mapping[str, Any]
    stats: Mapping[str, Any]
    backend: str | None = None


def manifest_id(bundle: Bundle) -> str:
    """The identity of a bundle: SHA-256 of its ``manifest.json``."""
    return file_sha256(bundle.path / MANIFEST)


def make_capture(runner: Runner, image: Image.Image, question: str, max_new_tokens: int) -> Capture:
    """Ask ``question`` about ``image`` (RGB) and record the results of each stage on this machine.

    Raises:
        RunnerError: the question and ``max_new_tokens`` don't fit the bundle's context.
    """
    phone = PhoneInputs(runner.bundle)
    record = make_record(runner, runner.methods(), phone, image, question, max_new_tokens)
    device = {"machine": platform.machine(), "system": platform.system(), "kit_version": __version__}
    return Capture(
        manifest_id(runner.bundle), record, phone.pixels(image), image, device, asdict(runner.stats), runner.backend
    )


def require_capture_place(path: Path) -> None:
    """Check, before the question is asked, that :func:`write_capture` can write ``path``; raises CaptureError if not."""
    require_place(path, error=CaptureError, replaceable=_refuse)


def _refuse(path: Path) -> None:
    raise CaptureError(f"{path}: already exists; choose another file")


def write_capture(capture: Capture, path: Path) -> None:
    """Write the zip ``path`` atomically.

    Raises:
        CaptureError: ``path`` exists, or can't be written.
    """
    values = {
        "format_version": FORMAT_VERSION,
        "manifest_id": capture.manifest_id,
        **({"backend": capture.backend} if capture.backend else {}),
        "device": dict(capture.device),
        "stats": dict(capture.stats),
        "record": capture.record.to_json(),
    }
    with (
        atomic_file(path, error=CaptureError, replaceable=_refuse) as beside,
        zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(_JSON, json.dumps(values, indent=1, ensure_ascii=False))
        archive.writestr(_PIXELS, _png(Image.fromarray(capture.pixels.permute(1, 2, 0).numpy())))
        if capture.picture:
            archive.writestr(_PICTURE, _png(capture.picture))


def read_capture(path: Path) -> Capture:
    """Read the capture ``path``.

    Raises:
        CaptureError: it is missing, damaged, of a newer format, or its pixels don't match its record.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = parse_json(_member(archive, _JSON, path))
            pixels = open_image(_member(archive, _PIXELS, path))
            picture = open_image(_member(archive, _PICTURE, path)) if _PICTURE in archive.namelist() else None
    except FileNotFoundError:
        raise CaptureError(f"{path}: no such file, expected a capture") from None
    except (*ZIP_FAULTS, ImageError, OSError) as error:
        raise CaptureError(f"{path}: got a damaged file ({error!s:.200}), expected a capture (a zip)") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise CaptureError(f"{path}: format_version: got {version!r}, expected {FORMAT_VERSION}")
    for name, kind in {"manifest_id": str, "device": dict, "stats": dict}.items():
        if not isinstance(values.get(name), kind):
            raise CaptureError(f"{path}: {name}: got {values.get(name)!r:.60}, expected {kind.__name__}")
    if (backend := values.get("backend")) not in (None, *BACKENDS):
        raise CaptureError(f"{path}: backend: got {backend!r:.60}, expected {' or '.join(BACKENDS)}")
    record = Record.from_json(values.get("record"), f"{path}: record")
    tensor = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
    if (got := pixels_sha256(tensor)) != record.pixels_sha256:
        raise CaptureError(f"{path}: {_PIXELS}: got SHA-256 {got[:16]}…, expected {record.pixels_sha256[:16]}…")
    return Capture(values["manifest_id"], record, tensor, picture, values["device"], values["stats"], backend)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    limit = _LARGEST[name]
    try:
        with archive.open(plain_member(archive, name)) as file:
            data = file.read(limit + 1)
    except KeyError:
        raise CaptureError(f"{path}: {name} is missing, expected it in the capture") from None
    if len(data) > limit:
        raise CaptureError(f"{path}: {name}: got more than {limit} bytes, expected less")
    return data


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
