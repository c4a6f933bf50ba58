"""Every public name has its entry in the API reference, with what its docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

import mobilevlm_export
import mobilevlm_host


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", ROOT / "scripts" / "api_docs.py", tmp_path]
    subprocess.run(command, capture_output=True, check=True)
    for package in (mobilevlm_export, mobilevlm_host):
        for name, home in package._HOMES.items():
            page = (tmp_path / f"{home.replace('.', '/')}.html").read_text(encoding="utf-8")
            assert f'id="{name}"' in page
