"""The Android app's core with the C++ runner behind its engine's seam says what ``mvlm ask`` says: ``EndToEnd.kt``, on the JVM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conversations import conversations

from mobilevlm_export.bundle import Bundle, zip_bundle
from mobilevlm_export.preprocess import open_image
from mobilevlm_host.cli import main
from mobilevlm_host.runner import Runner

REPOSITORY = Path(__file__).parents[2]
ENDED = {"eos": "COMPLETE", "length": "LENGTH"}


def make_cases(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every conversation: its picture in ``folder``, and what the runner says."""
    cases: list[dict[str, Any]] = []
    for conversation in conversations(bundle, "executorch"):
        picture = f"{conversation.name}.png"
        conversation.picture.save(folder / picture)
        turns = [
            {
                "question": said.question,
                "max_new_tokens": said.max_new_tokens,
                "answer": said.answer.text,
                "ended": ENDED[said.answer.stop_reason],
                "tokens": len(said.answer.token_ids or ()),
            }
            for said in conversation.said
        ]
        cases.append({"picture": picture, "turns": turns, "used_tokens": conversation.runner._position})
    return cases


@pytest.fixture(scope="module")
def seam(demo_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seam")
    shutil.copytree(demo_bundle.path, folder / "demo.mvlm")
    zip_bundle(demo_bundle.path, folder / "demo.mvlm.zip")
    cases = make_cases(demo_bundle, folder)
    with Runner(demo_bundle) as runner:
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
