"""The decision record's script shows what the record claims."""

from __future__ import annotations

import subprocess
import sys

from repository import ROOT

DECISIONS = ROOT / "docs" / "decisions"


def test_a_constant_inside_a_delegate_is_freed_with_the_weights_cache() -> None:
    """Once ExecuTorch is fixed, the record must be updated."""
    command = [sys.executable, str(DECISIONS / "freed_constant.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    inside, outside = printed.splitlines()
    assert inside.startswith("scale inside the delegate: right without the weights cache, ")
    assert inside.endswith((" ended by signal 11 with it", " wrong with it"))
    assert outside == "scale outside the delegate: right without the weights cache, right with it"
    assert outside in (DECISIONS / "0010-constants-outside-delegates.md").read_text(encoding="utf-8").splitlines()
