"""Which benchmarks there are, by their names on the command line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark

FOLDER_BENCHMARKS = ("gqa", "sqa", "textvqa", "pope", "mme", "mmbench")  # the module of that name has load(folder)


def load_benchmark(name: str, folder: Path) -> Benchmark:
    """Read the benchmark ``name`` (one of ``FOLDER_BENCHMARKS``) from its own ``folder``.

    Raises:
        EvaluateError: there is no such benchmark or folder, or a file in it is missing or malformed.
    """
    if name not in FOLDER_BENCHMARKS:
        raise EvaluateError(f"benchmark: got {name!r}, expected one of {', '.join(FOLDER_BENCHMARKS)}")
    if not folder.is_dir():
        raise EvaluateError(f"{folder}: no such folder, expected the data of {name}")
    benchmark: Benchmark = import_module(f"mobilevlm_host.evaluate.{name}").load(folder)
    return benchmark
