"""Read a saved Core ML package back and reject it if it would not compute what was intended.

Core ML would load a program whose cache is never written and give wrong answers without any error. So the file that ships is
opened again and its operators are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coremltools as ct

from mobilevlm_export.errors import LoweringError

_CONSTEXPR = "constexpr_blockwise_shift_scale"


@dataclass(frozen=True)
class FunctionInfo:
    """The contents of a saved function: operators by type, and linears by the form of their weights."""

    operators: Mapping[str, int]
    linears: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest, without constants."""
        operators = {kind: count for kind, count in sorted(self.operators.items()) if kind != "const"}
        return {"operators": operators, "linears": dict(sorted(self.linears.items()))}


@dataclass(frozen=True)
class ExpectedFunction:
    """What a saved function must contain: exact counts of some operators, and of all linears by form."""

    operators: Mapping[str, int]
    linears: Mapping[str, int]


def check_package(
    path: Path, expected: Mapping[str, ExpectedFunction], max_weight_bytes: int
) -> dict[str, FunctionInfo]:
    """Count the operators of each function in the package ``path``.

    Raises:
        LoweringError: a function is missing, a count differs, functions don't share their weights, or the weights take more than
            ``max_weight_bytes``.
    """
    spec = ct.utils.load_spec(str(path))
    functions = spec.mlProgram.functions
    if set(functions) != set(expected):
        raise LoweringError(
            f"{path.name}: got the functions {', '.join(sorted(functions))}, expected {', '.join(sorted(expected))}"
        )
    blocks = {name: _block(functions[name]) for name in expected}
    found = {name: FunctionInfo(Counter(op.type for op in block), _linears(block)) for name, block in blocks.items()}
    for name, wanted in expected.items():
        _require(f"{path.name}: {name}", wanted.operators, found[name].operators)
        _require(f"{path.name}: {name}: linears", wanted.linears, found[name].linears)
        if set(found[name].linears) - set(wanted.linears):
            raise LoweringError(
                f"{path.name}: {name}: got linears {dict(found[name].linears)}, expected {dict(wanted.linears)}"
            )
    weights = {name: _linear_blobs(block) for name, block in blocks.items()}
    for name, blobs in weights.items():
        if blobs != next(iter(weights.values())):
            raise LoweringError(f"{path.name}: {name}: got its own weights, expected those of {next(iter(weights))}")
    size = sum(file.stat().st_size for file in path.rglob("weight.bin"))
    if size > max_weight_bytes:
        raise LoweringError(f"{path.name}: got {size} bytes of weights, expected at most {max_weight_bytes}")
    return found


def _require(where: str, wanted: Mapping[str, int], got: Mapping[str, int]) -> None:
    for kind, count in wanted.items():
        if got.get(kind, 0) != count:
            raise LoweringError(f"{where}: got {got.get(kind, 0)} of {kind}, expected {count}")


def _block(function: Any) -> list[Any]:
    [block] = function.block_specializations.values()
    return list(block.operations)


def _linears(block: list[Any]) -> Counter[str]:
    """The number of linears by the form of their weight: int4, int8, fp16 or fp32."""
    made_by = {output.name: op for op in block for output in op.outputs}
    forms: Counter[str] = Counter()
    for op in block:
        if op.type == "linear":
            source = made_by[op.inputs["weight"].arguments[0].name]
            if source.type == _CONSTEXPR:
                forms[_data_type(source.inputs["data"].arguments[0].value.type)] += 1
            else:
                forms[_data_type(source.outputs[0].type)] += 1
    return forms


def _data_type(value_type: Any) -> str:
    number = value_type.tensorType.dataType
    name = ct.proto.MIL_pb2.DataType.Name(number)
    return str(name).lower().replace("float", "fp")


def _linear_blobs(block: list[Any]) -> set[int]:
    """The offsets of the linears' weights in the weight file."""
    made_by = {output.name: op for op in block for output in op.outputs}
    blobs = set()
    for op in block:
        if op.type == "linear":
            source = made_by[op.inputs["weight"].arguments[0].name]
            value = source.inputs["data"].arguments[0].value if source.type == _CONSTEXPR else source.attributes["val"]
            blobs.add(int(value.blobFileValue.offset))
    return blobs
