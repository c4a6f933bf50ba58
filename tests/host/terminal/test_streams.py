"""Commands run with any standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import os, sys
from mobilevlm_host.terminal.streams import prepare_streams
from mobilevlm_host.terminal.output import print_json
prepare_streams()
[os.fstat(descriptor) for descriptor in range(3)]
print("→ caf\\udce9", sys.stdin.read())
print("→", file=sys.stderr)
print_json({"name": "😀 \\udce9"})
open(os.environ["MARK"], "w").close()
"""


@pytest.mark.parametrize("redirect", ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_closed_streams_and_any_encoding(tmp_path: Path, redirect: str, encoding: str) -> None:
    mark = tmp_path / "mark"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {redirect}', sys.executable, _SCRIPT],
        env=os.environ | {"PYTHONIOENCODING": encoding, "MARK": str(mark)},
        input=b"\xe9" if "<" not in redirect else None,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert mark.exists()
    if ">&-" not in redirect:
        arrow = "→" if encoding == "utf-8" else "\\u2192"
        assert done.stdout.decode(encoding).startswith(f"{arrow} caf\\udce9")
        assert done.stdout.decode(encoding).endswith('{\n  "name": "\\ud83d\\ude00 \\udce9"\n}\n')
