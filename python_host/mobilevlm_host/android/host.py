"""Prepare the JVM with Android's engine, using ``scripts/engine_host.sh`` of the kit's repository."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import EngineError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.engines.emulated_cpu import DEFAULT_CPU

_REPOSITORY = Path(__file__).parents[3]
_SERVER = "org.mobilevlmkit.enginehost.EngineServer"


@dataclass(frozen=True)
class AndroidHost:
    """The engine to run, and the machine: by default the locked engine on x86-64.

    ``arm64`` uses the library for phones on an emulated CPU; ``engine`` is an Android library (.aar) of ExecuTorch.
    """

    arm64: bool = False
    engine: Path | None = None

    @property
    def machine(self) -> str:
        """The machine's name in errors and reports."""
        return f"an emulated {DEFAULT_CPU}" if self.arm64 else "x86-64"

    def command(self, progress: Progress = silent, repository: Path = _REPOSITORY) -> list[str]:
        """The command that runs a bundle, whose folder must be appended.

        Raises:
            EngineError: this is no checkout of the kit's repository, a tool is missing, or the engine can't be had or built.
        """
        script = repository / "scripts" / "engine_host.sh"
        if not script.is_file():
            raise EngineError(
                f"android: got no {script}, expected the kit's repository with its Android app: "
                "git clone it, then pip install -e ."
            )
        progress("preparing Android's engine", 0, 0)
        arguments = ["arm64-v8a" if self.arm64 else "x86_64", *([str(self.engine.resolve())] if self.engine else [])]
        done = subprocess.run(
            [script, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise EngineError(f"android: {lines[-1]}")
        return [*done.stdout.splitlines(), _SERVER]
