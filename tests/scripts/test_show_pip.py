"""Setting up shows what pip is doing."""

from __future__ import annotations

import subprocess
import sys

from repository import ROOT

_SCRIPT = ROOT / "scripts" / "show_pip.py"
_PIP = """\
Obtaining file:///somewhere
  Preparing editable metadata (pyproject.toml): started
Collecting click>=8.1 (from -c constraints.txt (line 9))
  Downloading click-8.3.1-py3-none-any.whl (108 kB)
Collecting torch<2.14,>=2.13 (from mobilevlm-kit==0.1.0)
  Using cached torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (888.1 MB)
  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (888.1 MB)
Building wheels for collected packages: mobilevlm-kit
Installing collected packages: click, torch, mobilevlm-kit
Successfully installed click-8.3.1 torch-2.13.0 mobilevlm-kit-0.1.0
"""


def test_a_log_shows_only_slow_steps() -> None:
    done = subprocess.run([sys.executable, _SCRIPT], input=_PIP, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["  downloading torch (888.1 MB)", "  unpacking 3 packages"]
