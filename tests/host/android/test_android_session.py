"""The Android app's core with the C++ runner behind its engine's seam says what ``mvlm ask`` says: ``PipeEndToEnd.kt``, on the JVM."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from seam import require_capture_replays, run_tests

from mobilevlm_host.cli.mvlm import main


def test_kotlin_answers_like_mvlm_ask(seam: Path) -> None:
    assert "OK (1 test)" in run_tests(seam, "test_android.sh", "PipeEndToEnd")
    require_capture_replays(seam)

    # And that the cases are what the command line says, for one of them.
    case = json.loads((seam / "cases.json").read_text())["cases"][0]
    asked = ["ask", str(seam / "demo.mvlm"), str(seam / case["picture"]), case["turns"][0]["question"], "--json"]
    answer = json.loads(
        CliRunner().invoke(main, [*asked, "--max-new-tokens", str(case["turns"][0]["max_new_tokens"])]).stdout
    )
    assert answer["answer"] == case["turns"][0]["answer"]
