"""A bundle from the hub is checked, kept once, and never written anywhere but in the kit's cache."""

from __future__ import annotations

import shutil
import threading
import zipfile
from pathlib import Path

import pytest
from fake_hub import FakeHub

from mobilevlm_export.bundle.open_bundle import open_bundle
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError

NAME = "me/tiny-int4"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_newer_commit_replaces_the_download(hub: FakeHub, tiny_bundle: Bundle, tiny_zip: bytes) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    first = open_bundle(NAME).path
    hub.repositories[NAME]["README.md"] = b"changed"
    second = open_bundle(NAME)
    assert first != second.path
    assert not first.exists()
    assert second.manifest.values == tiny_bundle.manifest.values


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.pte": b""}, "got 0 files NAME.mvlm.zip on the hub, expected one bundle"),
        ({"a.mvlm.zip": b"", "b.mvlm.zip": b""}, "got 2 files NAME.mvlm.zip on the hub, expected one bundle"),
        ({"a.mvlm.zip": b"no zip"}, "got a damaged archive"),
    ],
)
def test_a_repository_without_one_sound_bundle_is_refused(
    hub: FakeHub, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    hub.repositories[NAME] = dict(files)
    with pytest.raises(BundleError, match=message):
        open_bundle(NAME)
    assert not list((tmp_path / "cache").rglob("*.mvlm"))


def test_a_download_that_was_changed_is_refused(hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(tiny_bundle.path, changed)
    program = changed / "model.pte"
    data = bytearray(program.read_bytes())
    data[len(data) // 2] ^= 1
    program.write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.mvlm.zip", "w") as archive:
        for file in changed.rglob("*"):
            archive.write(file, file.relative_to(changed))
    hub.repositories[NAME] = {"a.mvlm.zip": (tmp_path / "a.mvlm.zip").read_bytes()}
    with pytest.raises(BundleError, match=r"model\.pte: got SHA-256 .* the file is damaged"):
        open_bundle(NAME)


def test_downloads_at_once_give_one_bundle(hub: FakeHub, tiny_zip: bytes) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    found: list[object] = []

    def download() -> None:
        try:
            found.append(open_bundle(NAME).path)
        except BundleError as error:
            found.append(error)

    threads = [threading.Thread(target=download) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [open_bundle(NAME).path] * 4


@pytest.mark.parametrize("commit", ["../../../other", "", "a" * 39, "/tmp/other"])
def test_a_commit_that_is_no_hash_is_refused(
    hub: FakeHub, tiny_zip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str
) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    monkeypatch.setattr(FakeHub, "commit", lambda *_: commit)
    with pytest.raises(BundleError, match="from the hub, expected 40 hexadecimal digits"):
        open_bundle(NAME)
    assert not list(tmp_path.rglob("*.mvlm"))


def test_a_download_that_breaks_off_leaves_nothing(
    hub: FakeHub, tiny_zip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    hub.cut_at = len(tiny_zip) // 2
    with pytest.raises(BundleError, match=rf"{NAME}: couldn't be downloaded \("):
        open_bundle(NAME)
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []
    hub.cut_at = None
    assert open_bundle(NAME).path.name == "a.mvlm"


def test_a_full_disk_is_found_before_the_download(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": b"x" * 100}
    free = shutil.disk_usage(tmp_path)._replace(free=1 << 29)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(BundleError, match=r"got 536\.9 MB free in .*, expected 1\.07 GB to download it"):
        open_bundle(NAME)
    assert hub.downloaded(NAME) == []
