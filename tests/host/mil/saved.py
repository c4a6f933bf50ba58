"""Programs built with Core ML Tools' MIL builder, saved, and opened by this evaluator."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types

from mobilevlm_host.mil import Program

_TYPES = {
    np.dtype(np.float16): types.fp16,
    np.dtype(np.float32): types.fp32,
    np.dtype(np.int32): types.int32,
    np.dtype(np.bool_): types.bool,
}


def save(path: Path, program: Any, *, passes: Any = None, target: Any = ct.target.iOS18) -> Path:
    """Save a MIL program without passes, so that its operations don't change."""
    gc.freeze()  # convert() collects garbage, which takes a second with torch loaded
    try:
        ct.convert(
            program,
            package_dir=str(path),
            convert_to="mlprogram",
            minimum_deployment_target=target,
            pass_pipeline=passes or ct.PassPipeline.EMPTY,
            skip_model_load=True,
            compute_units=ct.ComputeUnit.CPU_ONLY,
        )
    finally:
        gc.unfreeze()
    return path


def build(inputs: Sequence[np.ndarray], body: Callable[..., Any], *, states: dict[str, Any] | None = None) -> Any:
    """An iOS 18 program with inputs like ``inputs`` and the operations of ``body``."""
    specs = [mb.TensorSpec(each.shape, dtype=_TYPES[each.dtype]) for each in inputs]
    specs += [mb.StateTensorSpec(shape, dtype=types.fp16) for shape in (states or {}).values()]
    names = [*(f"x{at}" for at in range(len(inputs))), *(states or {})]
    # The builder names inputs by the parameters of the function that it is given.
    namespace: dict[str, Any] = {"body": body}
    exec(f"def program({', '.join(names)}): return body({', '.join(names)})", namespace)
    return mb.program(input_specs=specs, opset_version=ct.target.iOS18)(namespace["program"])


def collected() -> None:
    """Collect the garbage of a conversion, so that no later test has to wait for it."""
    gc.collect()


def outputs_of(program: Program, inputs: Sequence[np.ndarray], *args: Any) -> list[np.ndarray]:
    """The outputs of the default function, in order."""
    given = {f"x{at}": each for at, each in enumerate(inputs)}
    return [value.numpy() for value in program.function().run(given, *args).values()]
