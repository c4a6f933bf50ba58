"""The element types of MIL, how the weight file stores them, and the torch tensors that carry them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DType:
    """``name``: MIL's name; ``bits`` per stored element; ``carrier``: a torch dtype that can represent every value;
    ``blob_code``: the weight file's code for it (None: never in a weight file).
    """

    name: str
    bits: int
    carrier: torch.dtype
    blob_code: int | None = None

    @property
    def signed(self) -> bool:
        """Whether stored elements are two's complement."""
        return not self.name.startswith("u")

    @property
    def is_float(self) -> bool:
        """Whether values are floating-point numbers."""
        return self.carrier.is_floating_point


# Keyed by MIL.proto's DataType. Types that torch doesn't fully support are carried by a wider type.
_BY_CODE = {
    1: DType("bool", 8, torch.bool),
    2: DType("string", 0, torch.uint8),
    10: DType("fp16", 16, torch.float16, 1),
    11: DType("fp32", 32, torch.float32, 2),
    12: DType("fp64", 64, torch.float64),
    13: DType("bf16", 16, torch.bfloat16, 5),
    21: DType("int8", 8, torch.int8, 4),
    22: DType("int16", 16, torch.int16, 6),
    23: DType("int32", 32, torch.int32, 14),
    24: DType("int64", 64, torch.int64),
    25: DType("int4", 4, torch.int8, 8),
    31: DType("uint8", 8, torch.uint8, 3),
    32: DType("uint16", 16, torch.int32, 7),
    33: DType("uint32", 32, torch.int64, 15),
    34: DType("uint64", 64, torch.int64),
    35: DType("uint4", 4, torch.uint8, 11),
    36: DType("uint2", 2, torch.uint8, 10),
    37: DType("uint1", 1, torch.uint8, 9),
    38: DType("uint6", 6, torch.uint8, 13),
    39: DType("uint3", 3, torch.uint8, 12),
}
_BY_NAME = {dtype.name: dtype for dtype in _BY_CODE.values()}


def dtype_of_code(code: int) -> DType | None:
    """The type with MIL.proto's DataType ``code``; None if this evaluator doesn't support it."""
    return _BY_CODE.get(code)


def dtype_named(name: str) -> DType | None:
    """The type with MIL's ``name``, as in the parameter of a cast; None if there is none."""
    return _BY_NAME.get(name)
