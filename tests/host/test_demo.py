"""The complete demo: the built-in model's bundle gives the fp32 model's answers, and correct ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.demo.questions import is_right
from mobilevlm_export.errors import BundleError
from mobilevlm_export.pixels import open_image
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.demo import run_demo


def test_the_int4_bundle_answers_like_fp32(tmp_path: Path) -> None:
    said: list[str] = []
    report = run_demo(tmp_path / "demo.mvlm", "int4", 200, say=said.append)
    assert report.same_answers >= 190  # 98.3 % of 600 when it was measured
    assert report.fp32_right >= 180
    assert report.bundle_right >= report.fp32_right - 4
    assert report.bundle_bytes < report.checkpoint_bytes / 2
    samples = json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))["samples"]
    assert len(samples) == 5
    asked = 0
    with Runner(Bundle.open(tmp_path / "demo.mvlm")) as runner:
        for sample in samples:
            image = open_image(DEMO_SAMPLES / sample["image"])
            for qa in sample["questions"]:
                answer = "".join(runner.ask(image, qa["question"], max_new_tokens=80))
                assert is_right(answer, qa["answer"], qa["kind"]), (sample["image"], qa, answer)
                assert any(qa["question"] in line and answer in line for line in said)
                asked += 1
    assert asked == 20


def test_only_a_demo_bundle_is_replaced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep")
    with pytest.raises(BundleError, match="exists and isn't a demo bundle"):
        run_demo(folder, "int4", 1)
    assert (folder / "notes.txt").read_text() == "keep"
    with pytest.raises(BundleError, match="exists and isn't a demo bundle"):
        run_demo(tiny_bundle.path, "int4", 1)
