"""The Android app's core with the C++ runner behind its engine's seam says what ``mvlm ask`` says: ``EndToEnd.kt``, on the JVM."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mobilevlm_export.bundle import Bundle
from mobilevlm_export.hub import DEMO, DEMO_SAMPLES
from mobilevlm_export.pipeline import ExportJob, export_bundle
from mobilevlm_export.preprocess import open_image
from mobilevlm_export.quantize import make_recipe
from mobilevlm_host.cli import main
from mobilevlm_host.golden import add_golden, read_golden
from mobilevlm_host.runner import Runner

REPOSITORY = Path(__file__).parents[2]
ENDED = {"eos": "COMPLETE", "length": "LENGTH"}


def said(runner: Runner, question: str, max_new_tokens: int) -> dict[str, Any]:
    """What Python's runner answered last."""
    answer = runner.answer
    assert answer.token_ids is not None
    return {
        "question": question,
        "max_new_tokens": max_new_tokens,
        "answer": answer.text,
        "ended": ENDED[answer.stop_reason],
        "tokens": len(answer.token_ids),
    }


def make_cases(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every golden record, and a conversation about each sample picture: pictures in ``folder``, and what the runner says."""
    cases: list[dict[str, Any]] = []
    with Runner(bundle) as runner:
        for name, picture, record in read_golden(bundle):
            picture.save(folder / name)
            "".join(runner.ask(picture, record.question, max_new_tokens=record.max_new_tokens))
            assert runner.answer.text == record.answer
            turn = said(runner, record.question, record.max_new_tokens)
            cases.append({"picture": name, "turns": [turn], "used_tokens": runner._position})
        for sample in json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))["samples"]:
            picture = open_image(DEMO_SAMPLES / sample["image"])
            name = f"sample-{Path(sample['image']).stem}.png"
            picture.save(folder / name)
            questions = [qa["question"] for qa in sample["questions"]]
            "".join(runner.ask(picture, questions[0], max_new_tokens=80))
            turns = [said(runner, questions[0], 80)]
            # The third answer is cut short, so that the fourth question goes on from inside an answer.
            for question, longest in zip(questions[1:], (80, 2, 80), strict=True):
                "".join(runner.follow_up(question, max_new_tokens=longest))
                turns.append(said(runner, question, longest))
            cases.append({"picture": name, "turns": turns, "used_tokens": runner._position})
    return cases


@pytest.fixture(scope="module")
def seam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seam")
    job = ExportJob(DEMO, folder / "demo.mvlm", make_recipe("int4"), zipped=True)
    with export_bundle(job, complete=add_golden) as bundle:
        cases = make_cases(bundle, folder)
        with Runner(bundle) as runner:
            "".join(runner.ask(open_image(folder / str(cases[3]["picture"])), "Describe the image.", max_new_tokens=80))
            described = runner.answer.text
    command = [sys.executable, str(REPOSITORY / "tests" / "pipe_engine.py")]
    values = {
        "command": command,
        "cases": cases,
        "turns": sum(len(case["turns"]) for case in cases),
        "described": described,
    }
    (folder / "cases.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def test_kotlin_says_what_mvlm_ask_says(seam: Path) -> None:
    environment = os.environ | {"SEAM": str(seam), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    script = REPOSITORY / "scripts" / "test_android.sh"
    done = subprocess.run([script, "EndToEnd"], env=environment, capture_output=True, text=True)
    if done.returncode == 0 and "skipped" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK (1 test)" in done.stdout

    # The capture that Kotlin wrote, of the first golden record, replayed on the bundle it was made with.
    command = [str(seam / "capture.zip"), str(seam / "demo.mvlm"), "--json"]
    replayed = json.loads(CliRunner().invoke(main, ["replay", *command]).stdout)
    assert replayed["differs"] == "none", replayed
    assert all(stage["same"] for stage in replayed["stages"].values()), replayed

    # And that the cases are what the command line says, for one of them.
    case = json.loads((seam / "cases.json").read_text())["cases"][0]
    asked = ["ask", str(seam / "demo.mvlm"), str(seam / case["picture"]), case["turns"][0]["question"], "--json"]
    answer = json.loads(
        CliRunner().invoke(main, [*asked, "--max-new-tokens", str(case["turns"][0]["max_new_tokens"])]).stdout
    )
    assert answer["answer"] == case["turns"][0]["answer"]
