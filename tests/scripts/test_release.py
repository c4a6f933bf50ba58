"""``make release`` refuses what it can't make a release of, and replaces none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from mobilevlm_export import __version__


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with nothing but the scripts."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in ("release.sh", "release_notes.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / ".gitignore").write_text("dist/\n")
    (folder / "CHANGELOG.md").write_text("# Changelog\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def _release(clone: Path) -> tuple[int, str]:
    command = [clone / "scripts" / "release.sh", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def test_uncommitted_changes_are_refused(clone: Path) -> None:
    (clone / "CHANGELOG.md").write_text("changed")
    assert _release(clone) == (
        1,
        "make release: got uncommitted changes, expected a clean working tree; commit or stash them first",
    )


def test_a_release_is_not_replaced(clone: Path) -> None:
    (clone / "dist" / __version__).mkdir(parents=True)
    assert _release(clone) == (1, f"make release: dist/{__version__} already exists; remove it first")


def test_a_release_that_fails_leaves_nothing(clone: Path) -> None:
    status, said = _release(clone)
    assert status == 1
    assert f"got no section for {__version__}" in said
    assert list((clone / "dist").iterdir()) == []
