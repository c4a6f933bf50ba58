"""Constants that delegates read in place are found in a finished program; damaged programs are one-line errors."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from unpacked import WIDTH, write_unpacked

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import DependencyError, LoweringError
from mobilevlm_export.lower import program_file
from mobilevlm_export.lower.program_file import ProgramFile
from mobilevlm_export.lower.unpacked_constants import (
    UnpackedConstant,
    require_no_unpacked_constants,
    unpacked_constants,
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unpacked") / "model.pte"
    write_unpacked(path)
    return path


def test_a_constant_that_is_read_in_place_is_found(unpacked: Path) -> None:
    assert unpacked_constants(unpacked) == [UnpackedConstant("forward", 0, "XNNMultiply", (WIDTH,))]
    with pytest.raises(
        LoweringError, match=r"model\.pte: forward: XNNMultiply reads a constant \[32\] in place.*export again$"
    ):
        require_no_unpacked_constants(unpacked)


def test_a_bundles_program_has_none(tiny_bundle: Bundle) -> None:
    program = tiny_bundle.artifact("executorch")
    methods = [delegate.method for delegate in ProgramFile(program).delegates()]
    assert set(methods) == {"vision_encoder", "text_decoder"}
    assert len(methods) == 1 + tiny_bundle.config.llm.num_layers + 2
    require_no_unpacked_constants(program)


def test_neither_torch_nor_executorch_is_imported(unpacked: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from mobilevlm_export.lower.unpacked_constants import unpacked_constants; "
        f"assert len(unpacked_constants(Path({str(unpacked)!r}))) == 1; "
        "sys.exit(str({'torch', 'executorch'} & set(sys.modules) or '') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_weights_are_not_read(unpacked: Path, tmp_path: Path) -> None:
    """The constants, which come after the last delegate's data, are not read."""
    tables = ProgramFile(unpacked).tables
    delegate = tables["segments"][tables["execution_plan"][0]["delegates"][0]["processed"]["index"]]
    end = ProgramFile(unpacked)._segments_at + delegate["offset"] + delegate["size"]
    cut = tmp_path / "cut.pte"
    cut.write_bytes(unpacked.read_bytes()[:end])
    assert len(unpacked_constants(cut)) == 1
    assert end < unpacked.stat().st_size


def test_numbers_outside_json_are_read() -> None:
    found = program_file._TEXT_OR_NAME.sub(
        lambda found: program_file._JSON_NAMES.get(found[0], found[0]), '{"a inf": [-inf, nan, "\\" inf", 1.0]}'
    )
    assert found == '{"a inf": [-Infinity, NaN, "\\" inf", 1.0]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an ExecuTorch program"),
        (b"text, and no program", "expected an ExecuTorch program"),
        (b"\x10\0\0\0ET12" + bytes(12), "got a program without methods, expected a complete program"),
        (b"\x10\0\0\0ET12eh00", "that don't match program.fbs, expected a complete program"),
    ],
)
def test_an_invalid_program_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(content)
    with pytest.raises(LoweringError, match=message) as caught:
        ProgramFile(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_delegate_is_one_line(unpacked: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "model.pte"
    damaged.write_bytes(unpacked.read_bytes().replace(b"XH00", b"YH00"))
    with pytest.raises(LoweringError, match=r"got a delegate that begins with .*, expected XNNPACK's"):
        unpacked_constants(damaged)
    damaged.write_bytes(unpacked.read_bytes().replace(b"XN01", b"YN01"))
    with pytest.raises(LoweringError, match=r"got tables that don't match schema\.fbs"):
        unpacked_constants(damaged)


def test_an_executorch_without_flatc_is_named(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="executorch: got 0 files data/bin/flatc, which reads a program's tables"):
        unpacked_constants(unpacked)
