"""The available benchmarks by their names on the command line."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mobilevlm_export.errors import EvaluateError

if TYPE_CHECKING:
    from mobilevlm_host.evaluate.benchmark import Benchmark

PAPER_BENCHMARKS = ("gqa", "sqa", "textvqa", "pope", "mme", "mmbench")  # the module of that name has load(folder)
DEMO = "demo"
BENCHMARKS = (*PAPER_BENCHMARKS, DEMO)


def load_benchmark(name: str, folder: Path | None) -> Benchmark:
    """Read the benchmark ``name`` (one of ``BENCHMARKS``) from its ``folder``; the demo benchmark needs none.

    Raises:
        EvaluateError: there is no such benchmark or folder, or a file in it is missing or malformed.
    """
    if name not in BENCHMARKS:
        raise EvaluateError(f"benchmark: got {name!r}, expected one of {', '.join(BENCHMARKS)}")
    module = import_module(f"mobilevlm_host.evaluate.{'demo_questions' if name == DEMO else name}")
    if name == DEMO:
        if folder is not None:
            raise EvaluateError(f"{folder}: got a folder, expected none, because the scenes of {DEMO} are generated")
        generated: Benchmark = module.load()
        return generated
    if folder is None:
        raise EvaluateError(f"{name}: got no folder, expected its data: --data DIR")
    if not folder.is_dir():
        raise EvaluateError(f"{folder}: no such folder, expected the data of {name}")
    benchmark: Benchmark = module.load(folder)
    return benchmark
