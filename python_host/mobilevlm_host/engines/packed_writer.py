"""Write the packed weights of a program to a file: ``python -m mobilevlm_host.engines.packed_writer PROGRAM FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from mobilevlm_export.dependencies.executorch_private import LOAD_PROGRAM, VERIFICATION
from mobilevlm_export.lower.ambiguous_weights import require_distinct_weights
from mobilevlm_host.engines.methods import METHODS
from mobilevlm_host.engines.native_output import runtime_output_hidden
from mobilevlm_host.engines.operators import register_operators
from mobilevlm_host.engines.packed_weights import weights_in


def write_packed(program: Path, file: Path) -> None:
    """Load all methods of ``program``: a file with fewer of them would be used, and never completed.

    Raises:
        LoweringError: it has weights that the cache takes for one another.
        DependencyError, RunnerError: as :func:`weights_in`.
    """
    require_distinct_weights(program)
    with runtime_output_hidden():
        register_operators()
        verification = VERIFICATION.load().InternalConsistency
        loaded = LOAD_PROGRAM.load()(str(program), program_verification=verification)
        with weights_in(file):
            methods = [loaded.load_method(name) for name in METHODS]
    del methods  # before the program that they belong to


if __name__ == "__main__":
    write_packed(*map(Path, sys.argv[1:]))
