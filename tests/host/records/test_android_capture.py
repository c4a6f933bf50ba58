"""A capture that the Android app's core wrote (``CaptureWriterTest`` says how it is made) is read and replayed here."""

from __future__ import annotations

import json

import numpy as np
import torch
from click.testing import CliRunner
from repository import GOLDEN

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.pixels import PAD_COLOR, open_image, square_pixels
from mobilevlm_export.prompt import Turn, encode_segments
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.records.capture import read_capture
from mobilevlm_host.records.record import Sketch, TopLogits, pixels_sha256

CAPTURE = GOLDEN / "capture" / "android.zip"


def test_every_part_of_a_capture_matches_python() -> None:
    capture = read_capture(CAPTURE)
    picture = open_image(GOLDEN / "pixels" / "a-banner.ppm")
    assert capture.picture is not None
    assert np.array_equal(np.array(capture.picture), np.array(picture))
    assert torch.equal(capture.pixels, square_pixels(picture, 168, PAD_COLOR))
    record = capture.record
    assert record.pixels_sha256 == pixels_sha256(capture.pixels)
    before, _, after = encode_segments(Tokenizer(DEMO_CHECKPOINT / "tokenizer.model"), [Turn("What is this?")])
    assert [list(record.ids_before_image), list(record.ids_after_image)] == [before, after]
    embedding = torch.tensor([(i * 7919 % 1000 - 500) / 64 for i in range(36 * 192)]).reshape(1, 36, 192)
    assert record.image_embedding == Sketch.of(embedding)
    assert record.first_logits == TopLogits.of(torch.tensor([i * 104729 % 640 / 8 for i in range(640)]))
    assert (record.answer, record.answer_ids, record.stop_reason) == ("yes, 你", None, "eos")
    assert capture.device == {"model": "a phone", "android": 35}
    assert capture.stats == {"image_encode_s": 1.5, "decode_tok_s": 12.25}


def test_mvlm_replay_accepts_an_android_capture(tiny_bundle: Bundle) -> None:
    command = ["replay", str(CAPTURE), str(tiny_bundle.path), "--json"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code != 0
    assert "made with another bundle" in refused.output or "--force" in refused.output
    replayed = CliRunner().invoke(main, [*command, "--force"])
    # The tiny bundle's pixels are of another size.
    assert json.loads(replayed.stdout)["differs"] == "preprocessing"
