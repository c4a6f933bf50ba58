"""The notebooks run from start to end, and give the text that they are stored with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _cells(path: Path) -> list[dict[str, Any]]:
    """The cells with code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _shown(cell: dict[str, Any]) -> str:
    """The text that a cell shows, and the kinds of its pictures: what is in these depends on libraries."""
    return "".join(
        "".join(output["text"]) if output["output_type"] == "stream" else f"{sorted(output['data'])}"
        for output in cell["outputs"]
    )


@pytest.mark.export
@pytest.mark.thorough
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_shows(notebook: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(notebook, tmp_path))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # of mvlm
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", str(copy)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for found, stored in zip(_cells(copy), _cells(notebook), strict=True):
        assert _shown(found) == _shown(stored), "".join(stored["source"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_was_run(notebook: Path) -> None:
    """From start to end in one go, with small outputs, and without what an editor adds."""
    assert notebook.stat().st_size < 100_000
    cells = _cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(not cell["metadata"] for cell in cells)
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
