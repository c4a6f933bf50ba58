"""``mvlm push`` talks to adb: a stand-in on PATH says what a phone would."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export.bundle import Bundle, write_bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.push import APP_FOLDER, push_bundle


def _adb(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    log = folder / "adb.log"
    adb = folder / "adb"
    adb.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_files_arrive_in_a_folder_that_is_renamed_last(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; exit 0')
    assert push_bundle(tiny_bundle.path) == f"{APP_FOLDER}/tiny.mvlm"
    calls = log.read_text().splitlines()
    pushed = [call.split()[-1] for call in calls if call.startswith("push ")]
    names = ("manifest.json", "model.pte", "tokenizer.json", "tokenizer.model")
    assert pushed == [f"{APP_FOLDER}/.incoming-tiny.mvlm/{name}" for name in names]
    assert calls[-1].endswith(f"mv '{APP_FOLDER}/.incoming-tiny.mvlm' '{APP_FOLDER}/tiny.mvlm'")


def test_a_serial_is_passed_on(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$3" = get-state ] && echo device; exit 0')
    push_bundle(tiny_bundle.path, serial="emulator-5554")
    assert all(call.startswith("-s emulator-5554 ") for call in log.read_text().splitlines())


def test_what_the_app_can_not_use_is_not_pushed(
    tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; exit 0')

    def fill(folder: Path) -> dict[str, Any]:
        shutil.copytree(tiny_bundle.path, folder, dirs_exist_ok=True)
        return {**tiny_bundle.manifest.values, "format_version": 1}

    write_bundle(tmp_path / "old.mvlm", fill)
    with pytest.raises(BundleError, match=r"got an ExecuTorch program of bundle format 1.*: export it again"):
        push_bundle(tmp_path / "old.mvlm")
    with pytest.raises(BundleError, match="got artifacts for coreml, expected executorch"):
        push_bundle(tiny_coreml_bundle.path)
    assert log.read_text().splitlines() == ["get-state"] * 2


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "error: no devices/emulators found" >&2; exit 1', "no devices/emulators found.*expected one phone"),
        ("echo unauthorized", "got a phone in state 'unauthorized'"),
        (
            '[ "$1" = get-state ] && echo device && exit 0; [ "$1" = push ] && echo "No space left" >&2 && exit 1; exit 0',
            "adb: No space left",
        ),
    ],
)
def test_what_adb_says_is_one_line(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    _adb(tmp_path, monkeypatch, script)
    with pytest.raises(BundleError, match=message) as caught:
        push_bundle(tiny_bundle.path)
    assert "\n" not in str(caught.value)
