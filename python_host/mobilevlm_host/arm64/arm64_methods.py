"""Run a bundle's ``model.pte`` on an emulated ARM CPU, with the kernels of phones."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import EngineError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.arm64 import toolchain
from mobilevlm_host.engines.emulated_cpu import DEFAULT_CPU
from mobilevlm_host.engines.methods_process import MethodsProcess


class Arm64Methods:
    """:class:`~mobilevlm_host.engines.methods.Methods` on an emulated ARM CPU; a context manager."""

    def __init__(
        self, bundle: Bundle, cpu: str = DEFAULT_CPU, *, program: Path | None = None, progress: Progress = silent
    ) -> None:
        """Load ``bundle`` on an emulated ``cpu`` (QEMU's name with its options); ``program`` replaces ``run_methods``.

        Raises:
            BundleError: the bundle has no ExecuTorch program.
            EngineError: a tool is missing, or the emulator has no such CPU or gets its matrix extension wrong.
        """
        model = bundle.artifact("executorch")
        emulator = toolchain.emulator()
        require_sound(emulator, cpu, progress)
        self._process = process_on(emulator, cpu, program or toolchain.build_methods(progress=progress), model)

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See the protocol."""
        embeds, features = self._process.call("vision_encoder", pixels)
        return embeds, features

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See the protocol."""
        return self._process.call("token_embedding", ids)[0]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See the protocol."""
        logits = self._process.call("text_decoder", embeds, torch.tensor([position]))[0]
        return logits.reshape(-1, logits.shape[-1])[-1]

    def close(self) -> None:
        """End the emulated program."""
        self._process.close()

    def __enter__(self) -> Arm64Methods:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def process_on(emulator: str, cpu: str, program: Path, model: Path) -> MethodsProcess:
    """Start ``program`` (``run_methods``) on an emulated ``cpu`` with the .pte ``model``."""
    return MethodsProcess(toolchain.emulated(emulator, cpu, str(program), str(model)), "arm64", cpu)


def require_sound(emulator: str, cpu: str, progress: Progress = silent) -> None:
    """Check that the emulator has ``cpu`` and computes its SME correctly.

    Raises:
        EngineError: says which, and what to use.
    """
    command = toolchain.emulated(emulator, cpu, str(toolchain.build_smopa(progress)))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 1 and not done.stderr:
        raise EngineError(
            f"arm64: {Path(emulator).name}: got wrong sums from SMOPA on {cpu}, as in QEMU before 8.2.3, expected correct "
            "ones; use a newer QEMU, or a CPU without SME: --cpu max,sme=off"
        )
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(f"arm64: CPU {cpu!r}: got {words[-1]!r} from {Path(emulator).name}, expected a CPU it has")
