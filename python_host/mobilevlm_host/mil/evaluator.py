"""Run a function of a saved program in torch, operation by operation.

``fp16`` follows the program: each operation computes in float32 and its result is rounded to the type that the program declares.
Weights are decompressed to their declared type. ``fp32`` computes everything declared fp16 in float32 instead, so that any remaining
difference isn't due to rounding.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.constexpr import CONSTEXPR
from mobilevlm_host.mil.ops import MOVES, OPS
from mobilevlm_host.mil.ops.state import Cell
from mobilevlm_host.mil.program import ImageInput, Operation, Package, Precision, Signature, read_package
from mobilevlm_host.mil.values import Blob, Immediate, TensorType, Value

CACHE_BYTES = 4 << 30


class State:
    """A program's state between calls (a KV cache): one tensor for each of its states, initially zero."""

    def __init__(self, types: Mapping[str, TensorType], precision: Precision) -> None:
        self.cells = {
            name: Cell(torch.zeros([size or 0 for size in of_type.shape], dtype=_carrier(of_type, precision)))
            for name, of_type in types.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        """The value of the state ``name``."""
        return self.cells[name].value


class WeightCache:
    """A cache of decompressed weights, which never evicts: weights are used cyclically, so each would evict the next one needed."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: dict[Any, Tensor] = {}

    def get(self, key: Any, decompress: Callable[[], Tensor]) -> Tensor:
        """The weight ``key``, decompressed unless cached."""
        if key in self._kept:
            return self._kept[key]
        weight = decompress()
        size = weight.numel() * weight.element_size()
        if size <= self._room:
            self._room -= size
            self._kept[key] = weight
        return weight


class Program:
    """A saved ML Program that can be run::

    program = Program.open("text_decoder.mlpackage")
    state = program.make_state()
    logits = program.function("decode").run({"embeds": embeds, "position": position}, state)["logits"]
    """  # fmt: skip

    def __init__(self, package: Package, precision: Precision = "fp16", cache_bytes: int = CACHE_BYTES) -> None:
        self.package, self.precision = package, precision
        self._weights = WeightCache(cache_bytes)

    @classmethod
    def open(cls, path: str | Path, precision: Precision = "fp16", cache_bytes: int = CACHE_BYTES) -> Program:
        """Open the package ``path``; at most ``cache_bytes`` of decompressed weights are cached.

        Raises:
            MilError: see :func:`read_package`.
        """
        return cls(read_package(Path(path)), precision, cache_bytes)

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions."""
        return tuple(self.package.functions)

    def function(self, name: str | None = None) -> Function:
        """The function ``name``, or the default one, with all its operations checked to be supported.

        Raises:
            MilError: there is none of that name, or some of its operations are unknown (all are named).
        """
        name = name or self.package.default_function
        if name not in self.package.functions:
            raise MilError(
                f"{self.package.path}: got no function {name!r}, expected one of {', '.join(self.functions)}"
            )
        return Function(self.package.functions[name], self.package.path, self.precision, self._weights)

    def make_state(self) -> State:
        """A zero state for all functions, which share states of the same name."""
        types = {name: kind for each in self.package.functions.values() for name, kind in each.states.items()}
        return State(types, self.precision)


class Function:
    """One function of a program, ready to run."""

    def __init__(self, signature: Signature, path: Path, precision: Precision, weights: WeightCache) -> None:
        self.signature, self._precision, self._weights = signature, precision, weights
        self._where = f"{path}: {signature.name}"
        _require_known(signature, self._where)
        self._constants = {each.outputs[0][0]: each for each in signature.operations if each.is_constant}
        self._steps = [each for each in signature.operations if not each.is_constant]
        self._small: dict[str, Value] = {}
        self._last_use = {
            source: at
            for at, each in enumerate(self._steps)
            for sources in each.inputs.values()
            for source in sources
            if isinstance(source, str)
        }

    @torch.inference_mode()
    def run(
        self,
        inputs: Mapping[str, Any],
        state: State | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Tensor]:
        """Outputs by name, in their declared types (``fp32``: floats in float32).

        Inputs are tensors or arrays; image inputs also accept a PIL image or uint8 [H, W, 3] (gray: [H, W]). ``state`` is updated.

        Raises:
            MilError: an input is missing, unknown, or of another shape or type; a function with states is called without ``state``; or
                an operation fails or returns another shape than declared.
        """
        values: dict[str, Any] = self._inputs(inputs)
        values |= self._states(state)
        kept = set(self.signature.outputs) | set(self.signature.states)
        for at, step in enumerate(self._steps):
            progress(at, len(self._steps))
            results = self._evaluate(step, values)
            values |= {name: result for (name, _), result in zip(step.outputs, results, strict=True)}
            for source in self._sources(step):
                if self._last_use[source] == at and source not in kept:
                    values.pop(source, None)
        progress(len(self._steps), len(self._steps))
        return {name: self._value(name, values) for name in self.signature.outputs}

    def _inputs(self, given: Mapping[str, Any]) -> dict[str, Tensor]:
        wanted = self.signature.inputs
        if unknown := sorted(set(given) - set(wanted)):
            raise MilError(f"{self._where}: got an input {unknown[0]!r}, expected {_join_names(wanted)}")
        if missing := [name for name in wanted if name not in given]:
            raise MilError(f"{self._where}: got no input {missing[0]!r}, expected {wanted[missing[0]]}")
        return {name: self._input(name, given[name]) for name in wanted}

    def _input(self, name: str, given: Any) -> Tensor:
        of_type, picture = self.signature.inputs[name], self.signature.images.get(name)
        where = f"{self._where}: input {name!r}"
        tensor = given if isinstance(given, Tensor) else torch.from_numpy(np.array(given))
        if picture:
            tensor = _channels_first(tensor, picture)
        if not of_type.fits(tuple(tensor.shape)):
            raise MilError(f"{where}: got the shape {list(tensor.shape)}, expected {of_type}")
        if tensor.is_floating_point() and not of_type.dtype.is_float:
            raise MilError(f"{where}: got {str(tensor.dtype).removeprefix('torch.')}, expected {of_type}")
        return tensor.to(_carrier(of_type, self._precision))

    def _states(self, state: State | None) -> dict[str, Cell]:
        cells = state.cells if state else {}
        for name, of_type in self.signature.states.items():
            if name not in cells:
                raise MilError(f"{self._where}: got no state {name!r}, expected {of_type} from make_state()")
            if not of_type.fits(tuple(cells[name].value.shape)):
                got = list(cells[name].value.shape)
                raise MilError(f"{self._where}: state {name!r}: got the shape {got}, expected {of_type}")
        return {name: cells[name] for name in self.signature.states}

    def _evaluate(self, step: Operation, values: Mapping[str, Any]) -> tuple[Tensor, ...]:
        wide = step.kind not in MOVES
        arguments = {key: self._argument(key, sources, values, wide) for key, sources in step.inputs.items()}
        where = f"{self._where}: {step.kind} {step.name}"
        try:
            result = OPS[step.kind](**arguments)
        except (RuntimeError, ValueError, IndexError, KeyError, AssertionError, TypeError) as error:
            raise MilError(f"{where}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
        results = () if result is None else result if isinstance(result, tuple) else (result,)
        if len(results) != len(step.outputs):
            raise MilError(f"{where}: got {len(results)} results, expected {len(step.outputs)}")
        return tuple(self._declared(each, kind, where) for each, (_, kind) in zip(results, step.outputs, strict=True))

    def _argument(self, key: str, sources: tuple[Any, ...], values: Mapping[str, Any], wide: bool) -> Any:
        found = [self._value(source, values) for source in sources]
        if wide:
            found = [each.float() if isinstance(each, Tensor) and each.is_floating_point() else each for each in found]
        return found if key == "values" else found[0]

    def _declared(self, result: Tensor, of_type: TensorType, where: str) -> Tensor:
        if not of_type.fits(tuple(result.shape)):
            raise MilError(f"{where}: got the shape {list(result.shape)}, expected {of_type}")
        return result.to(_carrier(of_type, self._precision))

    def _value(self, source: str | Blob | Immediate, values: Mapping[str, Any]) -> Any:
        if not isinstance(source, str):
            return source.read()
        if source in values:
            return values[source]
        if source in self._small:
            return self._small[source]
        operation = self._constants.get(source)
        if operation is None:
            raise MilError(f"{self._where}: got no value {source!r}, expected it from an earlier operation")
        if operation.kind == "const":
            (constant,) = operation.inputs["val"]
            value = self._value(constant, {})
            if isinstance(constant, Immediate):
                self._small[source] = value
            return value
        return self._weights.get(self._key(operation), lambda: self._decompress(operation))

    def _decompress(self, operation: Operation) -> Tensor:
        arguments = {key: self._value(sources[0], {}) for key, sources in operation.inputs.items()}
        where = f"{self._where}: {operation.kind} {operation.name}"
        try:
            weight = CONSTEXPR[operation.kind](**arguments)
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            raise MilError(f"{where}: {str(error).splitlines()[0]}") from error
        of_type = operation.outputs[0][1]
        if not of_type.fits(tuple(weight.shape)):
            raise MilError(f"{where}: got the shape {list(weight.shape)}, expected {of_type}")
        return weight.to(of_type.dtype.carrier)

    def _key(self, operation: Operation) -> Any:
        """A cache key, equal for the same weight in another function: the locations of its parts in the file, or its name."""
        parts = []
        for key, sources in sorted(operation.inputs.items()):
            source = sources[0]
            if isinstance(source, str):
                inner = self._constants[source]
                source = inner.inputs["val"][0] if inner.kind == "const" else source
            parts.append((key, (source.file.path, source.offset) if isinstance(source, Blob) else self._named(source)))
        return operation.kind, tuple(parts)

    def _named(self, source: Any) -> Any:
        return (self.signature.name, source) if isinstance(source, str) else _plain(source)

    def _sources(self, step: Operation) -> set[str]:
        return {source for sources in step.inputs.values() for source in sources if isinstance(source, str)}


def _plain(constant: Immediate) -> Any:
    value = constant.value
    return value if isinstance(value, str) else (tuple(value.shape), tuple(value.flatten().tolist()))


def _require_known(signature: Signature, where: str) -> None:
    unknown = [
        f"{each.kind} {each.name}"
        for each in signature.operations
        if each.kind != "const" and each.kind not in OPS and each.kind not in CONSTEXPR
    ]
    if unknown:
        raise MilError(f"{where}: got operations that this evaluator doesn't support: {', '.join(unknown)}")
    for each in signature.operations:
        if each.kind != "const":
            known = inspect.signature((OPS | CONSTEXPR)[each.kind]).parameters
            if other := sorted(set(each.inputs) - set(known)):
                raise MilError(
                    f"{where}: {each.kind} {each.name}: got the parameter {other[0]!r}, expected {_join_names(known)}"
                )


def _carrier(of_type: TensorType, precision: Precision) -> torch.dtype:
    return torch.float32 if precision == "fp32" and of_type.dtype.is_float else of_type.dtype.carrier


def _channels_first(pixels: Tensor, picture: ImageInput) -> Tensor:
    """[H, W] or RGB [H, W, 3] → [1, C, H, W] in the program's channel order; other shapes are returned unchanged."""
    if tuple(pixels.shape) == (picture.height, picture.width, picture.channels):
        pixels = pixels.flip(-1) if picture.colors == "BGR" else pixels
        return pixels.permute(2, 0, 1)[None]
    return pixels[None, None] if tuple(pixels.shape) == (picture.height, picture.width) else pixels


def _join_names(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"
