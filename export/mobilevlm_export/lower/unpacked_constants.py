"""Find constants inside a finished program's delegates that XNNPACK reads in place because no operator packs them.

Engines with XNNPACK's weights cache, as on phones, free a delegate's constants once it is compiled. There such a program
crashes or returns garbage, although it works with the cache off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.dependencies.executorch_private import DELEGATE_SCHEMA
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower.program_file import ProgramFile, read_flatbuffer

XNNPACK = "XnnpackBackend"
# The header before the graph: zeros, magic, its length, then the offset and size of the graph.
_HEADER, _HEADER_MAGIC = struct.Struct("<4x4sHII"), b"XH00"
# As in XNNCompiler: these operators copy their filter and bias when they are created.
PACKING = {"XNNFullyConnected", "XNNConv2d", "XNNDepthwiseConv2d", "XNNConvTranspose2d"}
_PACKED = {"filter_id", "bias_id"}


@dataclass(frozen=True)
class UnpackedConstant:
    """A constant of ``shape`` that ``operator`` reads in place, in delegate number ``delegate`` of ``method``."""

    method: str
    delegate: int
    operator: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.method}: {self.operator} reads a constant {list(self.shape)} in place, in delegate {self.delegate}"
        )


def unpacked_constants(program: Path) -> list[UnpackedConstant]:
    """The unpacked constants of the ``.pte`` ``program``; there should be none.

    Raises:
        LoweringError: it can't be read.
    """
    try:
        return [
            UnpackedConstant(delegate.method, delegate.index, operator, shape)
            for delegate in ProgramFile(program).delegates()
            if delegate.backend == XNNPACK
            for operator, shape in _read_in_place(delegate_graph(delegate.data, program))
        ]
    except (LookupError, TypeError) as error:
        raise LoweringError(f"{program}: got a delegate without {error}, expected a complete program") from None


def require_no_unpacked_constants(program: Path) -> None:
    """Require that the ``.pte`` ``program`` has no unpacked constants.

    Raises:
        LoweringError: it has some (the first is named), or it can't be read.
    """
    found = unpacked_constants(program)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise LoweringError(
            f"{program}: {found[0]}{more}, expected packed weights only, because phones free all others; export again"
        )


def delegate_graph(data: bytes, where: Path) -> dict[str, Any]:
    """The tables of an XNNPACK delegate's ``data``, of the program ``where``.

    Raises:
        LoweringError: they can't be read.
    """
    if len(data) < _HEADER.size or data[4:8] != _HEADER_MAGIC:
        raise LoweringError(
            f"{where}: got a delegate that begins with {data[:8]!r}, expected XNNPACK's ({_HEADER_MAGIC!r})"
        )
    _, _, begin, size = _HEADER.unpack_from(data)
    return read_flatbuffer(data[begin : begin + size], DELEGATE_SCHEMA, where)


def _read_in_place(graph: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Operators of ``graph``, each with the shape of a constant that it reads other than as a filter or bias to pack."""
    values = [value["xvalue_union"].get("tensor_value", value["xvalue_union"]) for value in graph["xvalues"]]
    constants = {value["id_out"]: tuple(value["dims"]) for value in values if value["constant_buffer_idx"]}
    for node in graph["xnodes"]:
        operator = node["xnode_union_type"]
        for name, value in node["xnode_union"].items():
            is_packed = operator in PACKING and name in _PACKED
            if name.endswith("_id") and value in constants and not is_packed:
                yield operator, constants[value]
