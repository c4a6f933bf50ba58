"""What the Android builds make is made once, even by scripts that run at once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from repository import ROOT

_SCRIPT = f"""
set -euo pipefail
. {ROOT}/scripts/android_build.sh
make_it() {{ sleep 0.2; echo made | tee -a made.log >$build/it; }}
keyed it -- make_it
cat $build/it
"""


@pytest.mark.skipif(not shutil.which("flock"), reason="without flock, scripts that run at once aren't held apart")
def test_of_scripts_at_once_one_makes_it(tmp_path: Path) -> None:
    commands = [subprocess.Popen(["bash", "-c", _SCRIPT], cwd=tmp_path, stdout=subprocess.PIPE) for _ in range(3)]
    assert [command.communicate(timeout=60)[0] for command in commands] == [b"made\n"] * 3
    assert (tmp_path / "made.log").read_text() == "made\n"
