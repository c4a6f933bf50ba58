"""Write the Python runner's answers to a folder for the Android core's tests, where ``Seam.kt`` reads them."""

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
from repository import ROOT

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import zip_bundle
from mobilevlm_export.errors import EngineError
from mobilevlm_export.pixels import open_image
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.ask.kv_cache import token_count
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.cli.mvlm import main

ENDED = {"eos": "COMPLETE", "length": "LENGTH"}


def make_seam(bundle: Bundle, folder: Path) -> Path:
    """Fill ``folder`` with ``bundle`` (also zipped), the images, and ``cases.json``."""
    shutil.copytree(bundle.path, folder / "demo.mvlm")
    zip_bundle(bundle.path, folder / "demo.mvlm.zip")
    cases = _cases(bundle, folder)
    with Runner(bundle) as runner:
        "".join(runner.ask(open_image(folder / str(cases[3]["picture"])), "Describe the image.", max_new_tokens=80))
        described = runner.answer.text
    values = {
        "command": [sys.executable, str(ROOT / "tests" / "pipe_engine.py")],
        "cases": cases,
        "turns": sum(len(case["turns"]) for case in cases),
        "described": described,
    }
    (folder / "cases.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def run_tests(seam: Path, *command: str, timeout: float = 600, **environment: str) -> str:
    """Run the script ``command``, which runs JUnit tests on ``seam``, and return its output; skips if a tool is missing, except in CI."""
    (seam / "capture.zip").unlink(missing_ok=True)  # of another session
    variables = os.environ | {"SEAM": str(seam), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment
    script = [str(ROOT / "scripts" / command[0]), *command[1:]]
    done = subprocess.run(script, env=variables, capture_output=True, text=True, timeout=timeout)
    if done.returncode in (0, 75) and "skipped" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    return done.stdout


def runnable_host(host: AndroidHost) -> AndroidHost:
    """``host``, prepared; skips if a tool is missing, except in CI."""
    try:
        host.command()
    except EngineError as error:
        if os.environ.get("CI") == "true" or "skipped" not in str(error):
            raise
        pytest.skip(str(error))
    return host


def require_capture_replays(seam: Path) -> None:
    """Require that ``mvlm replay`` finds no difference in the session's capture of the first golden record."""
    command = ["replay", str(seam / "capture.zip"), str(seam / "demo.mvlm"), "--json"]
    replayed = json.loads(CliRunner().invoke(main, command).stdout)
    assert replayed["differs"] == "none", replayed
    assert all(stage["same"] for stage in replayed["stages"].values()), replayed


def _cases(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every conversation: its image in ``folder``, and the runner's answers."""
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
        cache = conversation.runner._cache
        assert cache is not None
        used_tokens = token_count(cache._cached or ())
        cases.append({"picture": picture, "turns": turns, "used_tokens": used_tokens})
    return cases
