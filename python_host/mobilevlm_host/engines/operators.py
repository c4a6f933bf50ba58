"""The operators that programs call, registered with ExecuTorch's runtime."""

from __future__ import annotations

import torch

from mobilevlm_export.dependencies.executorch_private import LOAD_PROGRAM, OPERATORS


def register_operators() -> None:
    """Register the operators that programs call; without them none can be loaded.

    Raises:
        DependencyError: ExecuTorch's package holds none of them, or several.
    """
    LOAD_PROGRAM.load()  # with it, ExecuTorch's own library, which the operators register with
    for library in OPERATORS:
        torch.ops.load_library(str(library.find()))
