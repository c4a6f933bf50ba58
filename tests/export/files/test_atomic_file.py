"""Files and folders are written completely or not at all, and replace only what they may."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mobilevlm_export.errors import BundleError, OutputError
from mobilevlm_export.files import rename
from mobilevlm_export.files.atomic_file import atomic_file, atomic_folder, new_only, recover, require_place, staged


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_the_end_and_kept_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["a.txt"]


def _interrupted(path: Path) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_of_two_concurrent_writers_one_wins_completely(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_file(path) as first, atomic_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the last to be put
    assert _names(tmp_path) == ["a.txt"]


def test_a_file_that_appears_during_the_work_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    folder = tmp_path / "folder"

    def write() -> None:
        with atomic_file(path, replaceable=new_only("file")) as temporary:
            temporary.write_text("second")
            path.write_text("first")

    def fill() -> None:
        with atomic_folder(folder):
            folder.mkdir()  # even if it is empty

    with pytest.raises(OutputError, match="already exists, expected a new file"):
        write()
    with pytest.raises(OutputError, match="already exists, expected a new folder"):
        fill()
    assert path.read_text() == "first"
    assert _names(tmp_path) == ["a.txt", "folder"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "got a folder that exists, expected a new name"),
        ("..", "got a folder that exists, expected a new name"),
        ("dangling", "got a broken link, expected a path that can be written"),
        ("x" * 256, "File name too long, expected a path that can be written"),
        ("folder", "exists and is not a file, expected the name of a file"),
        ("pipe", "exists and is not a file, expected the name of a file"),
        ("file/a", "Not a directory|File exists, expected a path that can be written"),
    ],
)
def test_an_unwritable_path_is_refused_before_the_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = _names(tmp_path)
    path = Path(name) if name == "." else tmp_path / name
    with pytest.raises(OutputError, match=message) as raised:
        require_place(path)
    assert str(raised.value).startswith(f"{path}: ")
    with pytest.raises(OutputError, match=message), atomic_file(path):
        raise AssertionError("the work began")
    assert _names(tmp_path) == before


def test_names_as_long_as_the_system_allows_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    with atomic_file(path) as temporary:
        temporary.write_text("x")
    assert path.read_text() == "x"


def test_parent_folders_are_created_and_removed_again_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert _names(tmp_path) == []
    with atomic_file(path) as temporary:
        temporary.write_text("x")
    assert path.read_text() == "x"


def test_errors_name_the_output_and_not_the_temporary_path(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(OutputError, match=f"^{path}: the disk is full, nothing was written$"), atomic_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match=f"^{path}: Is a directory, expected"), atomic_folder(path) as temporary:
        temporary.write_text("x")
    with pytest.raises(BundleError, match=f"^{path}/model.pte: damaged$"), atomic_folder(path) as temporary:
        raise BundleError(f"{temporary}/model.pte: damaged")
    assert _names(tmp_path) == []


@pytest.fixture(params=[0o022, 0o027, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "inner").mkdir(mode=0o700)
        save_file({"a": torch.zeros(1)}, temporary / "inner" / "weights")
        (temporary / "inner" / "weights").chmod(0o600)
    with atomic_file(tmp_path / "file") as temporary:
        temporary.touch(mode=0o600)
    for name in ("folder", "folder/inner"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o777 & ~umask
    for name in ("file", "folder/inner/weights"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def _replace(path: Path, text: str) -> None:
    with staged(path, error=OutputError, replaceable=lambda _: None) as place:
        place.new.mkdir()
        (place.new / text).touch()
        place.put()


@pytest.mark.parametrize("helped", [True, False])
def test_a_folder_is_replaced_completely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helped: bool) -> None:
    if not helped:
        monkeypatch.setattr(rename, "_rename", lambda *_: False)
    _replace(tmp_path / "a", "old")
    _replace(tmp_path / "a", "new")
    assert _names(tmp_path) == ["a"]
    assert _names(tmp_path / "a") == ["new"]


def test_a_kill_between_two_renames_is_recovered(tmp_path: Path) -> None:
    """Where the system can't exchange two folders, the old one is moved aside first, and a kill leaves nothing under its name."""
    path = tmp_path / "a"
    _replace(path, "old")
    code = f"""if True:
        import os, pathlib
        from mobilevlm_export.files import rename
        from mobilevlm_export.errors import OutputError
        from mobilevlm_export.files.atomic_file import staged
        rename._rename = lambda *_: False
        path = pathlib.Path({str(path)!r})
        with staged(path, error=OutputError, replaceable=lambda _: None) as place:
            place.new.mkdir()
            real = pathlib.Path.rename
            pathlib.Path.rename = lambda self, to: os.kill(os.getpid(), 9) if self == place.new else real(self, to)
            place.put()
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert not path.exists()
    recover(path)
    assert _names(path) == ["old"]
    assert _names(tmp_path) == ["a"]


def test_a_withdrawn_file_is_restored_unless_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def interrupted() -> None:
        with staged(path, error=OutputError, replaceable=lambda _: None) as place:
            place.withdraw()
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with staged(path, error=OutputError, replaceable=lambda _: None) as place:
        place.new.write_text("new")
        place.withdraw()
        place.put()
    assert path.read_text() == "new"
