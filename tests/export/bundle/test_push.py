"""``mvlm push`` with a fake adb on PATH that answers like a phone."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from mobilevlm_export.bundle.archive import zip_folder
from mobilevlm_export.bundle.push import APP_INBOX, push_bundle
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import new_bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.progress import silent


def _adb(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    log = folder / "adb.log"
    adb = folder / "adb"
    adb.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


# A phone whose /sdcard is the folder "phone" in the working directory, with its own shell. "run-as" acts in the folder "app".
_PHONE = """
run_as() { shift; mkdir -p app; (cd app && "$@"); }
am() { echo "am $@" >> am.log; }
case "$1" in
get-state) echo device ;;
shell) eval "$(printf %s "$2" | sed "s#/sdcard/#phone/#g; s#^run-as#run_as#")" ;;
esac
"""
_STOCK = _PHONE.replace("run_as() { shift;", 'run_as() { echo "run-as: package not debuggable" >&2; return 1;')


def _files(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


@pytest.mark.parametrize(
    "name", ["it's mine.mvlm", "a';touch X;'b.mvlm", "$(touch X).mvlm", 'a b\n"c.mvlm', "-rf.mvlm", "模型.mvlm"]
)
@pytest.mark.parametrize("phone", [_PHONE, _STOCK], ids=["debuggable", "stock"])
def test_any_bundle_arrives_as_a_zip_without_side_effects(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, phone: str
) -> None:
    _adb(tmp_path, monkeypatch, phone)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_bundle.path, name)
    Path(name, "unlisted.txt").touch()
    for _ in range(2):  # the second replaces the first
        pushed = push_bundle(Path(name))
    assert pushed.is_imported == (phone is _PHONE)
    place = "app/files/pushed" if pushed.is_imported else "phone/Download"
    assert pushed.file == (f"files/pushed/{name}.zip" if pushed.is_imported else f"/sdcard/Download/{name}.zip")
    assert [file.name for file in (tmp_path / place).iterdir()] == [f"{name}.zip"]
    assert _files(tmp_path / place / f"{name}.zip") == {
        str(file.relative_to(tiny_bundle.path)): file.read_bytes()
        for file in tiny_bundle.path.rglob("*")
        if file.is_file()
    }
    assert {each.name for each in tmp_path.iterdir()} == {"adb", "adb.log", "am.log", place.split("/")[0], name}
    chooses = "" if pushed.is_imported else " --ez choose_model true"
    assert (tmp_path / "am.log").read_text() == f"am start -n org.mobilevlmkit.app/.MainActivity{chooses}\n" * 2


def test_a_zip_is_copied_as_it_is(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _adb(tmp_path, monkeypatch, _STOCK)
    monkeypatch.chdir(tmp_path)
    archive = tmp_path / "my.mvlm.zip"
    zip_folder(tiny_bundle.path, archive, "zipping", silent)
    push_bundle(archive)
    assert (tmp_path / "phone/Download/my.mvlm.zip").read_bytes() == archive.read_bytes()


def test_an_app_that_is_not_installed_is_no_error(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _adb(tmp_path, monkeypatch, _STOCK.replace('echo "am $@" >> am.log', "return 1"))
    monkeypatch.chdir(tmp_path)
    assert not push_bundle(tiny_bundle.path).is_imported
    assert [file.name for file in (tmp_path / "phone/Download").iterdir()] == ["tiny.mvlm.zip"]


def test_a_copy_that_fails_leaves_nothing(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _adb(tmp_path, monkeypatch, _STOCK.replace("eval", "ulimit -f 1; eval"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="adb: "):
        push_bundle(tiny_bundle.path)
    assert not list((tmp_path / "phone").rglob("*.zip*"))


def test_a_bundle_in_the_working_directory_has_a_name(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _adb(tmp_path, monkeypatch, '[ "$1" = get-state ] && echo device; cat > /dev/null; exit 0')
    monkeypatch.chdir(tiny_bundle.path)
    assert push_bundle(Path(".")).file == f"{APP_INBOX}/tiny.mvlm.zip"
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(shutil.copytree(tiny_bundle.path, tmp_path / "my.mvlm") / "..")
    assert push_bundle(Path("inner/../my.mvlm")).file == f"{APP_INBOX}/my.mvlm.zip"


def test_a_serial_is_passed_on(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = _adb(tmp_path, monkeypatch, '[ "$3" = get-state ] && echo device && exit 0; cat > /dev/null; exit 0')
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
            '[ "$1" = get-state ] && echo device && exit 0; echo "No space left" >&2; exit 1',
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
