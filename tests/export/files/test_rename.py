"""Atomic renames, and their replacements on systems without them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mobilevlm_export.files import rename
from mobilevlm_export.files.rename import exchange, rename_new


@pytest.fixture(params=[True, False], ids=["in one step", "without the system's help"])
def _helped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(rename, "_rename", lambda *_: False)


@pytest.mark.usefixtures("_helped")
def test_nothing_is_replaced(tmp_path: Path) -> None:
    for name in ("new file", "old file"):
        (tmp_path / name).write_text(name)
    for name in ("new folder", "old folder"):
        (tmp_path / name).mkdir()  # empty: rename alone would replace it
    for kind in ("file", "folder"):
        with pytest.raises(FileExistsError):
            rename_new(tmp_path / f"new {kind}", tmp_path / f"old {kind}")
        rename_new(tmp_path / f"new {kind}", tmp_path / f"other {kind}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old file", "old folder", "other file", "other folder"]
    assert (tmp_path / "other file").read_text() == "new file"
    assert (tmp_path / "old file").read_text() == "old file"


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no system call for it is known")
def test_two_folders_are_exchanged(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "missing")
