"""What is missing, or isn't what was pinned, is one line; nothing half-made stays."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export.errors import EngineError
from mobilevlm_host.arm64 import toolchain


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mobilevlm-kit" / "arm64"


@pytest.fixture
def compiler(run_methods: Path) -> None:
    """The tools, as ``run_methods`` needs them too."""


def a_wheel(monkeypatch: pytest.MonkeyPatch, pip_exits: int = 0, pip_says: str = "") -> None:
    """Let pip bring a small wheel of another content, and pass other commands on."""
    run = subprocess.run

    def fake(command: list[str], **options: Any) -> Any:
        if "pip" not in command:
            return run(command, **options)
        if not pip_exits:
            wheel = (
                Path(command[command.index("--dest") + 1]) / "executorch-1.5.1-cp311-cp311-manylinux_2_28_aarch64.whl"
            )
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr("executorch/lib/libexecutorch.so", b"another")
        return subprocess.CompletedProcess(command, pip_exits, "", pip_says)

    monkeypatch.setattr(subprocess, "run", fake)


def test_missing_tools_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install = r"sudo apt-get install g\+\+-aarch64-linux-gnu qemu-user-static$"
    with pytest.raises(EngineError, match=f"^arm64: qemu-aarch64-static not found, .*{install}"):
        toolchain.emulator()
    with pytest.raises(EngineError, match=rf"^arm64: aarch64-linux-gnu-g\+\+ not found, .*{install}"):
        toolchain.build_methods()


def test_any_of_debians_emulators_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "qemu-aarch64").write_text("#!/bin/sh\n")
    (tmp_path / "qemu-aarch64").chmod(0o755)
    assert toolchain.emulator() == str(tmp_path / "qemu-aarch64")


@pytest.mark.usefixtures("compiler")
def test_another_wheel_than_the_pinned_one_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wheel(monkeypatch)
    with pytest.raises(EngineError, match=r"manylinux_2_28_aarch64.whl: got SHA-256 .*, expected 8ee02348a3ea80dd…$"):
        toolchain.build_methods()
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("compiler")
def test_a_wheel_that_pip_cannot_fetch_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_wheel(monkeypatch, pip_exits=1, pip_says="WARNING: retrying\nERROR: no network\n")
    with pytest.raises(EngineError, match=r"pip can't download executorch 1.5.1 for \w+ \(ERROR: no network\)$"):
        toolchain.build_methods()
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("compiler")
def test_a_version_without_a_known_wheel_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "version", lambda name: "1.5.9")
    with pytest.raises(EngineError, match=r"got executorch 1.5.9, expected 1.5.1"):
        toolchain.build_methods()
    assert not cache.exists()


@pytest.mark.usefixtures("compiler")
def test_a_program_is_compiled_once_and_a_broken_one_is_no_program(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    first = toolchain.build_smopa(lambda stage, done, total: said.append(stage))
    assert first.parent.parent == cache
    assert said == ["compiling smopa for ARM"]
    assert toolchain.build_smopa(lambda stage, done, total: said.append(stage)) == first
    assert len(said) == 1
    (tmp_path / "smopa.cpp").write_text("int main() { return nothing; }\n")
    monkeypatch.setattr(toolchain, "SOURCES", tmp_path)
    with pytest.raises(EngineError, match=r"can't build smopa \(.*nothing.*\)$"):
        toolchain.build_smopa()
    assert list(cache.iterdir()) == [first.parent]
