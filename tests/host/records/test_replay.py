"""A capture of another machine is computed again here, and the stage that went wrong there is named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import BundleError, CaptureError, ParityError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.records.capture import Capture, make_capture, read_capture, write_capture
from mobilevlm_host.records.record import pixels_sha256
from mobilevlm_host.records.replay import replay_capture

QUESTION = "What is this?"


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (50, 80, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Bundle:
    return Bundle(tiny_bundle.path, tiny_bundle.manifest)


@pytest.fixture(scope="module")
def capture(bundle: Bundle, picture: Image.Image) -> Iterator[Capture]:
    with Runner(Bundle(bundle.path, bundle.manifest)) as runner:
        yield make_capture(runner, picture, QUESTION, 10)


def _differs(capture: Capture, bundle: Bundle) -> str:
    return replay_capture(capture, Bundle(bundle.path, bundle.manifest)).differs


def _with_pixels(capture: Capture, pixels: torch.Tensor) -> Capture:
    return replace(capture, pixels=pixels, record=replace(capture.record, pixels_sha256=pixels_sha256(pixels)))


def test_a_sound_capture_survives_the_zip(capture: Capture, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "capture.zip"
    write_capture(capture, path)
    again = read_capture(path)
    assert again.record == capture.record
    assert torch.equal(again.pixels, capture.pixels)
    assert again.stats == capture.stats
    replayed = replay_capture(again, Bundle(bundle.path, bundle.manifest))
    assert replayed.differs == "none"
    assert [finding.same for finding in replayed.findings] == [True] * 4
    with pytest.raises(CaptureError, match="already exists"):
        write_capture(capture, path)
    assert [item.name for item in tmp_path.iterdir()] == ["capture.zip"]


def test_another_resize_is_preprocessing(capture: Capture, bundle: Bundle, picture: Image.Image) -> None:
    stretched = np.array(picture.resize((56, 56), Image.Resampling.BILINEAR))
    # What the vision encoder saw is what it is judged by: only the pixels differ.
    with Runner(Bundle(bundle.path, bundle.manifest)) as runner:
        wrong = make_capture(runner, Image.fromarray(stretched), QUESTION, 10)
    assert _differs(replace(wrong, picture=picture), bundle) == "preprocessing"
    small = _with_pixels(capture, capture.pixels[:, :42, :42].contiguous())
    assert _differs(small, bundle) == "preprocessing"


def test_what_a_capture_does_not_hold_is_not_judged(capture: Capture, bundle: Bundle) -> None:
    bare = replace(capture, picture=None, record=replace(capture.record, answer_ids=None))
    replayed = replay_capture(bare, Bundle(bundle.path, bundle.manifest))
    assert replayed.differs == "none"
    assert [finding.same for finding in replayed.findings] == [None, True, True, True]


def _noisy(values: tuple[float, ...], share: float) -> tuple[float, ...]:
    noise = np.random.default_rng(0).normal(0, np.std(values) * share, len(values))
    return tuple(float(value) for value in np.array(values) + noise)


def test_each_stage_is_judged_by_its_limit(capture: Capture, bundle: Bundle) -> None:
    record = capture.record

    def changed(**fields: Any) -> str:
        return _differs(replace(capture, record=replace(record, **fields)), bundle)

    embedding = record.image_embedding
    assert changed(image_embedding=replace(embedding, values=_noisy(embedding.values, 1e-5))) == "none"
    assert changed(image_embedding=replace(embedding, values=_noisy(embedding.values, 1e-2))) == "vision encoder"
    assert changed(ids_before_image=record.ids_before_image[1:]) == "tokenizer"
    logits = record.first_logits
    assert changed(first_logits=replace(logits, values=tuple(value + 3 for value in logits.values))) == "none"
    assert changed(first_logits=replace(logits, values=_noisy(logits.values, 0.1))) == "decoder"
    assert changed(first_logits=replace(logits, token_ids=(99999, *logits.token_ids[1:]))) == "decoder"
    assert changed(first_logits=replace(logits, token_ids=(-(10**30), *logits.token_ids[1:]))) == "decoder"
    answer = record.answer_ids
    assert answer
    assert changed(answer_ids=(*answer[:-1], (answer[-1] + 1) % 300)) == "decoder"
    assert changed(answer_ids=answer[:-1], stop_reason="length") == "none"  # a shorter limit is no fault
    assert changed(answer_ids=answer[:-1], stop_reason="eos") == "decoder"  # an end of text where there is none


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("ids_before_image", (1, 340), "ids_before_image: got the id 340, expected 0 to 339"),
        ("ids_after_image", (-1,), "ids_after_image: got the id -1, expected 0 to 339"),
        ("ids_after_image", (), "ids_after_image: got none"),
        ("ids_after_image", (10**30,), r"got the id 1000000\d+, expected"),
        ("answer_ids", (5, 9999), "answer_ids: got the id 9999, expected 0 to 339"),
        ("answer_ids", (5,) * 256, r"tokens: got \d+, expected 1 to 256"),
        ("max_new_tokens", 10**400, "max_new_tokens: got 1000.*, expected 1 to 256"),
    ],
)
def test_ids_that_the_engine_has_no_room_for_are_refused(
    capture: Capture, bundle: Bundle, tiny_checkpoint: Path, field: str, value: Any, message: str
) -> None:
    """The C++ engine would end the process."""
    hostile = replace(capture, record=replace(capture.record, **{field: value}))
    for checkpoint in (None, tiny_checkpoint):
        with pytest.raises(CaptureError, match=message):
            replay_capture(hostile, Bundle(bundle.path, bundle.manifest), checkpoint=checkpoint)


def test_the_fp32_model_answers_too(capture: Capture, bundle: Bundle, tiny_checkpoint: Path) -> None:
    opened = Bundle(bundle.path, bundle.manifest)
    assert replay_capture(capture, opened, checkpoint=tiny_checkpoint).fp32_answer
    with pytest.raises(ParityError, match="--force compares them anyway"):
        replay_capture(capture, opened, checkpoint=DEMO_CHECKPOINT)


def test_a_capture_of_another_bundle_is_refused(capture: Capture, bundle: Bundle) -> None:
    other = replace(capture, manifest_id="f" * 64)
    with pytest.raises(CaptureError, match=r"expected the capture's, ffff.*; --force replays it anyway"):
        _differs(other, bundle)
    assert replay_capture(other, Bundle(bundle.path, bundle.manifest), force=True).differs == "none"


def _edited(path: Path, target: Path, name: str, data: bytes | None) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.namelist():
            if item != name:
                new.writestr(item, old.read(item))
        if data is not None:
            new.writestr(name, data)
    return target


def test_a_capture_is_replayed_by_the_artifact_that_answered(
    tiny_coreml_bundle: Bundle, bundle: Bundle, picture: Image.Image, tmp_path: Path
) -> None:
    def opened() -> Bundle:
        return Bundle(tiny_coreml_bundle.path, tiny_coreml_bundle.manifest)

    with Runner(opened()) as runner:
        write_capture(make_capture(runner, picture, QUESTION, 10), tmp_path / "capture.zip")
    captured = read_capture(tmp_path / "capture.zip")
    assert captured.backend == "coreml"
    replayed = replay_capture(captured, opened())
    assert (replayed.backend, replayed.differs) == ("coreml", "none")
    assert [finding.same for finding in replayed.findings] == [True] * 4
    # What the capture says comes before what the bundle has, and what is asked for before both.
    with pytest.raises(BundleError, match="coreml"):
        replay_capture(captured, Bundle(bundle.path, bundle.manifest), force=True)
    other = replay_capture(captured, Bundle(bundle.path, bundle.manifest), force=True, backend="executorch")
    assert other.backend == "executorch"
    silent = replace(captured, backend=None)
    write_capture(silent, tmp_path / "older.zip")
    assert read_capture(tmp_path / "older.zip").backend is None
    assert replay_capture(silent, opened()).backend == "coreml"


def test_bad_captures_are_refused_in_one_line(capture: Capture, tmp_path: Path) -> None:
    path = tmp_path / "good.zip"
    write_capture(capture, path)
    values = json.loads(zipfile.ZipFile(path).read("capture.json"))
    with pytest.raises(CaptureError, match="no such file"):
        read_capture(tmp_path / "none.zip")
    (tmp_path / "junk.zip").write_bytes(b"PK junk")
    with pytest.raises(CaptureError, match="got a damaged file"):
        read_capture(tmp_path / "junk.zip")
    bad: dict[str, tuple[str, bytes | None]] = {
        "pixels.png is missing": ("pixels.png", None),
        "pixels.png: got SHA-256": ("pixels.png", zipfile.ZipFile(path).read("picture.png")),
        "got a damaged file": ("pixels.png", b"not a picture"),
        "format_version: got 2, expected 1": ("capture.json", json.dumps(values | {"format_version": 2}).encode()),
        "manifest_id: got 7, expected str": ("capture.json", json.dumps(values | {"manifest_id": 7}).encode()),
        "backend: got 'tflite', expected executorch or coreml": (
            "capture.json",
            json.dumps(values | {"backend": "tflite"}).encode(),
        ),
        "record: got None": ("capture.json", json.dumps(values | {"record": None}).encode()),
        "got more than 1048576 bytes": ("capture.json", b" " * (1 << 21)),
    }
    record = values["record"]
    for field, value, message in (
        ("question", 3, "record: question: got 3, expected a string"),
        ("answer_ids", "x", "record: answer_ids: got 'x', expected a list"),
        ("stop_reason", "why", "stop_reason: got 'why', expected one of eos"),
        ("max_new_tokens", True, "max_new_tokens: got True, expected a number"),
        ("ids_after_image", [1.5], "ids_after_image: got [1.5], expected a list of numbers"),
        ("image_embedding", {"shape": [1], "norm": 1, "values": [1]}, "image_embedding: got 1 values, expected 64"),
        ("first_logits", {"token_ids": [1], "values": []}, "first_logits: got unequal or empty lists"),
    ):
        bad[message] = ("capture.json", json.dumps(values | {"record": record | {field: value}}).encode())
    for message, (name, data) in bad.items():
        with pytest.raises(CaptureError) as caught:
            read_capture(_edited(path, tmp_path / "bad.zip", name, data))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
