"""llama.cpp's own tool makes the importance matrix; its sums become means, and its failures one-line errors."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.peer.quality.importance_matrix import importance_matrix, importance_tool

# Writes its arguments, and sums for a weight over four tokens, as the tool does.
_TOOL = """#!{python}
import sys
import numpy as np
from gguf import GGUFWriter
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("so far so good", file=sys.stderr)
{fails}
writer = GGUFWriter(given["-o"], "imatrix")
writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.array([[4.0, 8.0, 0.0]], np.float32))
writer.add_tensor("blk.0.attn_q.weight.counts", np.array([[4.0]], np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
open(given["-o"] + ".given", "w").write(repr(given))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package ``llama_cpp`` without the tool."""
    folder = tmp_path / "llama_cpp"
    (folder / "lib").mkdir(parents=True)
    package = ModuleType("llama_cpp")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "llama_cpp", package)
    return folder


def install(package: Path, fails: str = "") -> None:
    tool = package / "lib" / "llama-imatrix"
    tool.write_text(_TOOL.format(python=sys.executable, fails=fails))
    tool.chmod(0o755)


def test_the_tool_reads_the_calibration_questions(package: Path, tmp_path: Path) -> None:
    install(package)
    found = importance_matrix(tmp_path / "f16.gguf", context=64, threads=3)
    assert list(found) == ["blk.0.attn_q.weight"]
    np.testing.assert_array_equal(found["blk.0.attn_q.weight"], np.array([1, 2, 0], np.float32))
    given = (tmp_path / "f16.imatrix.gguf.given").read_text()
    for expected in (f"'-m': '{tmp_path}/f16.gguf'", "'-c': '64'", "'-t': '3'"):
        assert expected in given
    lines = (tmp_path / "f16.txt").read_text().splitlines()
    asked = [line for line in lines if "ASSISTANT: " in line]
    assert len(asked) == 128
    assert all(line.split("ASSISTANT: ")[1] for line in asked)


def test_a_package_without_the_tool_is_named(package: Path) -> None:
    with pytest.raises(RunnerError, match=r"lib/llama-imatrix: no such file, expected llama\.cpp's tool; make bench "):
        importance_tool()


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("sys.exit('out of luck')", r"llama-imatrix fails with exit code 1 \(out of luck\)$"),
        ("sys.exit()", r"llama-imatrix fails with exit code 0 \(so far so good\)$"),
    ],
)
def test_a_failure_is_one_line(package: Path, tmp_path: Path, fails: str, said: str) -> None:
    install(package, fails)
    with pytest.raises(RunnerError, match=rf"f16\.gguf: {said}"):
        importance_matrix(tmp_path / "f16.gguf", context=64, threads=1)
