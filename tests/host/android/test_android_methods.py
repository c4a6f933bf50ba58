"""Android's own engine, untouched, with with the app's own code, says what the desktop's runner says; and no crash stays unseen."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from seam import require_capture_replays, run_tests, runnable_host

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import EngineError
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.cli.mvlm import main

STAGES = ["preprocessing", "tokenizer", "vision encoder", "decoder", "answer"]
# Freed and fresh memory is filled with a pattern: what is read after it was freed, or before it was written, shows.
PATTERNS = ("85", "170")
ENGINE = os.environ.get("ENGINE")  # as make test-engine names it; the scripts read it too


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _checked(*arguments: object) -> None:
    done = _run("golden", *arguments, "--check", "--android", "--json", *(["--engine", ENGINE] if ENGINE else []))
    assert done.exit_code == 0, done.output
    checked = json.loads(done.stdout)["checked"]
    assert len(checked) == 3
    for replayed in checked.values():
        assert replayed["differs"] == "none", replayed
        assert list(replayed["stages"]) == STAGES
        assert all(stage["same"] is True for stage in replayed["stages"].values()), replayed


@pytest.mark.usefixtures("x86_64")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_golden_records(demo_bundle: Bundle, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_PERTURB_", pattern)
    _checked(demo_bundle.path)


@pytest.mark.usefixtures("x86_64")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_whole_session(seam: Path, pattern: str) -> None:
    assert "OK (1 test)" in run_tests(seam, "test_engine_host.sh", "x86_64", "EngineEndToEnd", MALLOC_PERTURB_=pattern)
    require_capture_replays(seam)


@pytest.mark.usefixtures("x86_64")
def test_engine_faults_at_every_step(seam: Path) -> None:
    assert "OK (12 tests)" in run_tests(seam, "test_engine_host.sh", "x86_64", "EngineFaults")


@pytest.mark.usefixtures("x86_64")
def test_three_hundred_questions_leak_no_memory(seam: Path) -> None:
    # Interpreted, and with its heap touched from the beginning, the JVM itself stays as large as it is.
    steady = "-Xint -XX:+AlwaysPreTouch"
    said = run_tests(seam, "test_engine_host.sh", "x86_64", "EngineGrowth", JAVA_TOOL_OPTIONS=steady)
    assert "OK (1 test)" in said
    assert "in stretches of 60 questions" in said


@pytest.mark.usefixtures("x86_64")
def test_a_record_that_differs_is_reported(demo_bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(demo_bundle.path, tmp_path / "copy.mvlm")
    index = copy / "golden" / "golden.json"
    values = json.loads(index.read_text())
    values["records"][0]["answer"] = "nothing of the kind"
    values["records"][1]["pixels_sha256"] = "0" * 64
    index.write_text(json.dumps(values))
    _list_anew(copy, "golden/golden.json")
    done = _run("golden", copy, "--check", "--android", "--json")
    assert done.exit_code == 1, done.output
    differs = [replayed["differs"] for replayed in json.loads(done.stdout)["checked"].values()]
    assert differs == ["answer", "preprocessing", "none"]


def _list_anew(bundle: Path, name: str) -> None:
    import hashlib

    manifest = bundle / "manifest.json"
    values = json.loads(manifest.read_text())
    data = (bundle / name).read_bytes()
    for entry in values["files"]:
        if entry["path"] == name:
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(values))


def test_arm64_golden_records(demo_bundle: Bundle) -> None:
    runnable_host(AndroidHost(arm64=True))
    _checked(demo_bundle.path, "--arm64")


@pytest.mark.skipif(not os.environ.get("LONG"), reason="minutes under emulation: make test-engine-arm64 runs it")
def test_arm64_whole_session(seam: Path) -> None:
    said = run_tests(seam, "test_engine_host.sh", "arm64-v8a", "EngineEndToEnd", timeout=3600)
    assert "OK (1 test)" in said
    require_capture_replays(seam)


def test_options_that_need_one_another(tmp_path: Path) -> None:
    unchecked = _run("golden", tmp_path, "--android")
    assert unchecked.exit_code == 2
    assert "--android checks another engine against the records: also give --check" in unchecked.stderr
    alone = _run("golden", tmp_path, "--check", "--engine", "some.aar")
    assert alone.exit_code == 2
    assert "--engine selects the engine that --android runs: give both" in alone.stderr
    other = _run("golden", tmp_path, "--check", "--android", "--arm64", "--cpu", "neoverse-n1")
    assert other.exit_code == 2
    assert "--android emulates a cortex-a76: omit --cpu" in other.stderr


@pytest.mark.usefixtures("x86_64")
def test_a_file_that_is_not_an_engine_is_refused(demo_bundle: Bundle, tmp_path: Path) -> None:
    missing = _run("golden", demo_bundle.path, "--check", "--android", "--engine", tmp_path / "no.aar")
    assert missing.exit_code == 1
    assert missing.stderr.endswith(
        "no.aar: no such file, expected an Android library such as executorch-android-1.5.1.aar\n"
    )
    (tmp_path / "bad.aar").write_bytes(b"PK\3\4 no library")
    bad = _run("golden", demo_bundle.path, "--check", "--android", "--engine", tmp_path / "bad.aar")
    assert bad.exit_code == 1
    assert "bad.aar: got another file, expected an Android library with classes.jar and jni/ABI" in bad.stderr


def test_outside_the_repository_it_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^android: got no .*engine_host\.sh, expected the kit's repository"):
        AndroidHost().command(repository=tmp_path)


def test_without_tools_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("bash", "dirname", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EngineError, match=r"missing default-jdk-headless maven npm gcc binutils; install them first: sudo"
    ):
        AndroidHost().command()
