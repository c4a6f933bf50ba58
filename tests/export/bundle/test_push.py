"""``mvlm push`` with a fake adb on PATH that answers like a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mobilevlm_export.bundle.push import APP_FOLDER, push_bundle
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import new_bundle
from mobilevlm_export.errors import BundleError


def _adb(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    log = folder / "adb.log"
    adb = folder / "adb"
    adb.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def test_files_are_pushed_to_a_folder_that_is_renamed_last(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; exit 0')
    assert push_bundle(tiny_bundle.path) == f"{APP_FOLDER}/tiny.mvlm"
    calls = log.read_text().splitlines()
    pushed = [call.split()[-1] for call in calls if call.startswith("push ")]
    names = ("model.pte", "tokenizer.json", "tokenizer.model", "manifest.json")
    assert pushed == [f"{APP_FOLDER}/.incoming-tiny.mvlm/{name}" for name in names]
    assert calls[-1].endswith(f"mv {APP_FOLDER}/.incoming-tiny.mvlm {APP_FOLDER}/tiny.mvlm")


# A phone whose /sdcard is the folder "phone" in the working directory, with its own shell.
_PHONE = """
case "$1" in
get-state) echo device ;;
shell) sh -c "$(printf %s "$2" | sed "s#/sdcard/#phone/#g")" ;;
push) cp "$2" "$(printf %s "$3" | sed "s#/sdcard/#phone/#")" ;;
esac
"""


@pytest.mark.parametrize(
    "name", ["it's mine.mvlm", "a';touch X;'b.mvlm", "$(touch X).mvlm", 'a b\n"c.mvlm', "-rf.mvlm", "模型.mvlm"]
)
def test_any_bundle_name_is_pushed_without_side_effects(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _adb(tmp_path, monkeypatch, _PHONE)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.path, name)
    Path(name, "unlisted.txt").touch()
    for _ in range(2):  # the second replaces the first
        push_bundle(Path(name))
    (arrived,) = (tmp_path / "phone").rglob("*.mvlm")
    assert str(arrived) == f"{tmp_path}/phone{APP_FOLDER.removeprefix('/sdcard')}/{name}"
    assert {file.name: file.read_bytes() for file in arrived.rglob("*")} == {
        file.name: file.read_bytes() for file in tiny_bundle.path.rglob("*")
    }
    assert {each.name for each in tmp_path.iterdir()} == {"adb", "adb.log", "phone", name}


def test_a_bundle_in_the_working_directory_has_a_name(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; exit 0')
    monkeypatch.chdir(tiny_bundle.path)
    assert push_bundle(Path(".")) == f"{APP_FOLDER}/tiny.mvlm"
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(shutil.copytree(tiny_bundle.path, tmp_path / "my.mvlm") / "..")
    assert push_bundle(Path("inner/../my.mvlm")) == f"{APP_FOLDER}/my.mvlm"


def test_a_serial_is_passed_on(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$3" = get-state ] && echo device; exit 0')
    push_bundle(tiny_bundle.path, serial="emulator-5554")
    assert all(call.startswith("-s emulator-5554 ") for call in log.read_text().splitlines())


def test_unusable_bundles_are_not_pushed(
    tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; exit 0')

    with new_bundle(tmp_path / "old.mvlm") as new:
        shutil.copytree(tiny_bundle.path, new.folder, dirs_exist_ok=True)
        new.seal(tiny_bundle.manifest.values | {"format_version": 1})
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
def test_adb_errors_are_one_line(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    _adb(tmp_path, monkeypatch, script)
    with pytest.raises(BundleError, match=message) as caught:
        push_bundle(tiny_bundle.path)
    assert "\n" not in str(caught.value)
