"""Constants of a program: stored in the program itself, or as a blob in its weight file."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.blobs import BlobFile, unpack
from mobilevlm_host.mil.dtypes import DType, dtype_of_code

Value = Tensor | str


@dataclass(frozen=True)
class TensorType:
    """Element type and shape; a length that isn't fixed is None."""

    dtype: DType
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype.name} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether ``shape`` matches this type."""
        return len(shape) == len(self.shape) and all(
            size in (None, got) for size, got in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True)
class Immediate:
    """A constant stored in the program."""

    type: TensorType
    value: Value

    def read(self) -> Value:
        """The value."""
        return self.value


@dataclass(frozen=True)
class Blob:
    """A constant in the weight file, read on use."""

    type: TensorType
    file: BlobFile
    offset: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, which is always fixed for a constant."""
        return tuple(size or 0 for size in self.type.shape)

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return self.file.size(self.offset, self.type.dtype, self.shape)

    def read(self) -> Tensor:
        """The tensor; errors as :meth:`BlobFile.read`."""
        return self.file.read(self.offset, self.type.dtype, self.shape)


Constant = Immediate | Blob


class WeightFiles:
    """The weight files of one package, each opened once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, BlobFile] = {}

    def file(self, name: str) -> BlobFile:
        """The file that a program names ``@model_path/weights/NAME``; paths outside the package are rejected."""
        inside = name.removeprefix("@model_path/")
        if inside not in self._open:
            path = self._folder / inside
            if not path.resolve().is_relative_to(self._folder.resolve()):
                raise MilError(f"{self._folder}: got the weight file {name!r}, expected one inside the package")
            self._open[inside] = BlobFile(path)
        return self._open[inside]


def tensor_type(proto: Any, where: str) -> TensorType:
    """The type described by a ``ValueType`` of MIL.proto; for a state, the type of the tensor that it wraps."""
    kind = proto.WhichOneof("type")
    if kind == "stateType":
        return tensor_type(proto.stateType.wrappedType, where)
    if kind != "tensorType":
        raise MilError(f"{where}: got a value of the kind {kind}, expected a tensor")
    dtype = dtype_of_code(proto.tensorType.dataType)
    if dtype is None:
        raise MilError(f"{where}: got the element type {proto.tensorType.dataType}, expected a supported one")
    sizes = (
        int(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else None
        for dimension in proto.tensorType.dimensions
    )
    return TensorType(dtype, tuple(sizes))


def constant(proto: Any, weights: WeightFiles, where: str) -> Constant:
    """The constant that a ``Value`` of MIL.proto contains or refers to."""
    of_type = tensor_type(proto.type, where)
    if proto.WhichOneof("value") == "blobFileValue":
        return Blob(of_type, weights.file(proto.blobFileValue.fileName), proto.blobFileValue.offset)
    tensor = proto.immediateValue.tensor
    field = tensor.WhichOneof("value")
    if field is None:
        raise MilError(f"{where}: got a value that is not a tensor, expected a tensor")
    values = getattr(tensor, field).values
    if of_type.dtype.name == "string":
        return Immediate(of_type, str(values[0]))
    shape = tuple(size or 0 for size in of_type.shape)
    found = _from_bytes(values, of_type.dtype, prod(shape)) if field == "bytes" else torch.tensor(list(values))
    if found.numel() != prod(shape):
        raise MilError(f"{where}: got {found.numel()} values, expected {of_type}")
    return Immediate(of_type, found.to(of_type.dtype.carrier).reshape(shape))


def _from_bytes(raw: bytes, dtype: DType, count: int) -> Tensor:
    if not raw:
        return torch.empty(0, dtype=dtype.carrier)
    if dtype.bits < 8:
        return unpack(torch.frombuffer(bytearray(raw), dtype=torch.uint8), dtype, count)
    if dtype.name in ("uint16", "uint32"):
        return torch.from_numpy(np.frombuffer(raw, dtype.name).astype(np.int64))
    return torch.frombuffer(bytearray(raw), dtype=dtype.carrier)
