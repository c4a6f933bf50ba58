"""Temporary folders of killed processes are removed by the next process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import zip_bundle
from mobilevlm_export.files.scratch import ScratchFolder, sweep


def _killed(code: str, *arguments: object) -> None:
    """Run ``code``, which finally kills its own process."""
    code += "\nimport os; os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_folders_of_killed_processes_are_removed_and_others_kept(tmp_path: Path) -> None:
    with ScratchFolder(tmp_path, "a") as used:
        code = (
            "import sys, pathlib; from mobilevlm_export.files.scratch import ScratchFolder; "
            "folder = ScratchFolder(pathlib.Path(sys.argv[1]), 'a'); (folder.path / 'big').write_text('x')"
        )
        _killed(code, tmp_path)
        (stale,) = set(tmp_path.iterdir()) - {used}
        (tmp_path / ".a.notes.part").mkdir()  # not one of ours
        (tmp_path / ".b.abcdefgh.part").mkdir()  # of another name
        with ScratchFolder(tmp_path, "a") as second:
            assert not stale.exists()
            assert used.exists()
            assert second.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.notes.part", ".b.abcdefgh.part"]


def test_a_link_to_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    (tmp_path / ".a.abcdefgh.part").symlink_to(tmp_path / "mine")
    sweep(tmp_path, "a")
    assert (tmp_path / "mine" / "notes").read_text() == "keep"


def test_opening_a_zip_sweeps_what_a_killed_process_unpacked(tiny_bundle: Bundle, tmp_path: Path) -> None:
    zipped, temporary = tmp_path / "a.mvlm.zip", tmp_path / "temporary"
    temporary.mkdir()
    zip_bundle(tiny_bundle.path, zipped)
    open_it = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[2]; from mobilevlm_export.bundle.read import Bundle; "
        "bundle = Bundle.open(sys.argv[1])"
    )
    _killed(open_it, zipped, temporary)
    assert len(os.listdir(temporary)) == 1
    subprocess.run([sys.executable, "-c", open_it, zipped, temporary], check=True)
    assert not os.listdir(temporary)
