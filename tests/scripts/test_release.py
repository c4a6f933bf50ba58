"""``make release`` refuses what it can't make a release of, replaces none, and leaves nothing half-made."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from repository import ROOT

from mobilevlm_export import __version__

_GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with nothing but the scripts."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in ("release.sh", "release_notes.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / ".gitignore").write_text("dist/\n")
    (folder / "CHANGELOG.md").write_text("# Changelog\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run([*_GIT, *command], cwd=folder, check=True)
    return folder


_PYTHON = f"""#!/bin/sh
[ "$1 $2" != "-m build" ] || {{ echo wheel >"$4/kit.whl" && exec sh -c "$BUILD"; }}
exec {sys.executable} "$@"
"""
_MVLM = """#!/bin/sh
mkdir "$4" && echo "$6" >"$4.zip"
"""
_APK = """#!/bin/sh
[ "$CI" = true ] || exit 0
mkdir -p android_app/build
cp "$2" android_app/build/unsigned.apk
echo signed >android_app/build/mobilevlm.apk
"""


@pytest.fixture
def tools(clone: Path, tmp_path: Path) -> Path:
    """A Python that builds by the command in ``BUILD``, with an ``mvlm`` next to it, and a clone that can be released."""
    (clone / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{__version__}] - unreleased\n\n- All.\n")
    (clone / ".gitignore").write_text("dist/\nandroid_app/\n")
    scripts = {tmp_path / "bin" / "python": _PYTHON, tmp_path / "bin" / "mvlm": _MVLM}
    scripts[clone / "scripts" / "make_apk.sh"] = _APK
    for path, text in scripts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    subprocess.run(["git", "add", "-A"], cwd=clone, check=True)
    subprocess.run([*_GIT, "commit", "-qm", "Build"], cwd=clone, check=True)
    return tmp_path / "bin" / "python"


def _release(clone: Path, python: Path | str = sys.executable) -> tuple[int, str]:
    command = [clone / "scripts" / "release.sh", python]
    done = subprocess.run(command, env=os.environ | {"BUILD": "true"}, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def test_a_release_has_everything_and_its_sums(clone: Path, tools: Path) -> None:
    warning = f"make release: CHANGELOG.md calls {__version__} unreleased; write its date there before you publish"
    assert _release(clone, tools) == (0, warning)
    folder = clone / "dist" / __version__
    assert [path.name for path in (clone / "dist").iterdir()] == [__version__]
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (
            "NOTES.md",
            "demo-coreml.mvlm.zip",
            "demo-executorch.mvlm.zip",
            "kit.whl",
            f"mobilevlm-{__version__}-unsigned.apk",
            f"mobilevlm-{__version__}.apk",
        )
    }
    # The app has the bundle that is next to it.
    assert sums[f"mobilevlm-{__version__}-unsigned.apk"] == sums["demo-executorch.mvlm.zip"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_release_that_is_stopped_leaves_nothing(clone: Path, tools: Path, stop: signal.Signals) -> None:
    # A signal that is ignored here, such as behind nohup, would be ignored there too.
    command = ["env", "--default-signal", clone / "scripts" / "release.sh", tools]
    environment = os.environ | {"BUILD": "sleep 60"}
    with subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while not list((clone / "dist").glob(".new.*/kit.whl")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, stop)
    assert process.returncode != 0
    assert list((clone / "dist").iterdir()) == []


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
