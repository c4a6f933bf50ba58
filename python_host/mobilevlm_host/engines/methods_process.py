"""A program in a separate process that keeps the KV cache, called through pipes. The protocol is in ``run_methods.cpp``."""

from __future__ import annotations

import math
import subprocess
import tempfile

import torch
from torch import Tensor

from mobilevlm_export.errors import EngineError

_NAMES = {torch.uint8: "u8", torch.int64: "i64", torch.float32: "f32"}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


class MethodsProcess:
    """A running ``run_methods``, or another process with its protocol; calls one method at a time."""

    def __init__(self, command: list[str], engine: str, machine: str) -> None:
        """Start ``command``; failures show at the first call. ``engine`` and ``machine`` are names for errors."""
        self._engine, self._machine = engine, machine
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)

    def call(self, method: str, *inputs: Tensor) -> list[Tensor]:
        """The outputs of ``method``; tensors may be uint8, int64 or float32.

        Raises:
            EngineError: the method failed, or the process ended.
        """
        try:
            return self._call(method, inputs)
        except (BrokenPipeError, EOFError):
            raise EngineError(
                f"{self._engine}: {method} on {self._machine}: {self._last_words()}, expected its result"
            ) from None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _call(self, method: str, inputs: tuple[Tensor, ...]) -> list[Tensor]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{method} {len(inputs)}\n".encode())
        for tensor in inputs:
            self._process.stdin.write(" ".join([_NAMES[tensor.dtype], *map(str, tensor.shape)]).encode() + b"\n")
            self._process.stdin.write(tensor.contiguous().numpy().tobytes())
        self._process.stdin.flush()
        kind, _, rest = self._read_line().partition(" ")
        if kind != "ok":
            raise EngineError(
                f"{self._engine}: on {self._machine}: got the error {rest!r}, expected the result of {method}"
            )
        return [self._read_tensor() for _ in range(int(rest))]

    def _read_tensor(self) -> Tensor:
        name, *sizes = self._read_line().split()
        shape = [int(size) for size in sizes]
        dtype = _DTYPES[name]
        return torch.frombuffer(bytearray(self._read(math.prod(shape) * dtype.itemsize)), dtype=dtype).reshape(shape)

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.decode().rstrip("\n")

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        got = self._process.stdout.read(size)
        if len(got) < size:
            raise EOFError
        return got

    def _last_words(self) -> str:
        """The last line of the process on standard error, or the signal named there by a JVM, and its exit code."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        last = next((line for line in lines if line.startswith("#  SIG")), lines[-1] if lines else "nothing")
        return f"got {last.strip('# ')!r} and exit code {code}"
