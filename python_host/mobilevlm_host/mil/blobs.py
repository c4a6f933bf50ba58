"""The weight file of an ML Program (``weight.bin``), mapped and read blob by blob.

Layout, little-endian: a header of 64 bytes (uint32 number of blobs, uint32 version 2), then for each blob 64 bytes of metadata (uint32
0xDEADBEEF, uint32 element type, uint64 bytes of data, uint64 offset of the data in the file, uint64 unused bits in the
last byte) and its data, each aligned to 64 bytes. Elements of less than a byte are packed from the lowest bit up, without gaps.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.dtypes import DType

SENTINEL = 0xDEADBEEF
VERSION = 2
_HEADER = struct.Struct("<II")
_METADATA = struct.Struct("<IIQQQ")
_METADATA_BYTES = 64
_STORED = {1: np.uint8, 8: np.uint8, 16: np.uint16, 32: np.uint32}


class BlobFile:
    """One weight file, memory-mapped: a blob's pages are read on use."""

    def __init__(self, path: Path) -> None:
        """Map ``path``.

        Raises:
            MilError: it can't be read, or isn't a weight file of version 2.
        """
        self.path = path
        try:
            # Copy-on-write: torch requires writable memory, although nothing here writes to it.
            self._bytes = np.memmap(path, dtype=np.uint8, mode="c")
        except (OSError, ValueError) as error:
            raise MilError(f"{path}: {_reason(error)}, expected a weight file") from None
        if self._bytes.size < 64:
            raise MilError(f"{path}: got {self._bytes.size} bytes, expected a header of 64")
        _, version = _HEADER.unpack(self._bytes[: _HEADER.size].tobytes())
        if version != VERSION:
            raise MilError(f"{path}: got version {version}, expected {VERSION}")

    def read(self, offset: int, dtype: DType, shape: tuple[int, ...]) -> Tensor:
        """The blob whose metadata is at ``offset``, as a tensor of ``dtype.carrier``.

        Types that torch supports directly are not copied: the tensor is the mapped file.

        Raises:
            MilError: there is no blob, it has another type or size, or the file ends before it.
        """
        data = self._data(offset, dtype, prod(shape))
        if dtype.bits < 8:
            return unpack(torch.from_numpy(data), dtype, prod(shape)).reshape(shape)
        stored = data.view(_STORED[dtype.bits])
        if dtype.name in ("uint16", "uint32"):
            return torch.from_numpy(stored.astype(np.int64)).to(dtype.carrier).reshape(shape)
        return torch.from_numpy(stored.view(np.uint8)).view(dtype.carrier).reshape(shape)

    def size(self, offset: int, dtype: DType, shape: tuple[int, ...]) -> int:
        """Bytes of the blob at ``offset``; errors as :meth:`read`."""
        return int(self._data(offset, dtype, prod(shape)).size)

    def _data(self, offset: int, dtype: DType, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        where, total = f"{self.path}: blob at {offset}", self._bytes.size
        if offset + _METADATA_BYTES > total:
            raise MilError(f"{where}: the file ends after {total} bytes, expected {_METADATA_BYTES} bytes of metadata")
        metadata = self._bytes[offset : offset + _METADATA.size].tobytes()
        sentinel, code, size, begin, unused_bits = _METADATA.unpack(metadata)
        if sentinel != SENTINEL:
            raise MilError(f"{where}: got 0x{sentinel:08X}, expected 0x{SENTINEL:08X} at the start of a blob")
        if dtype.blob_code is None or code != dtype.blob_code:
            raise MilError(f"{where}: got element type {code}, expected {dtype.blob_code} ({dtype.name})")
        bits = count * dtype.bits
        if (size * 8 - (unused_bits if dtype.bits < 8 else 0)) != bits:
            raise MilError(f"{where}: got {size} bytes of {dtype.name}, expected {-(-bits // 8)} for {count} elements")
        if begin + size > total:
            raise MilError(f"{where}: the file ends after {total} bytes, expected {begin + size}")
        return self._bytes[begin : begin + size]


def unpack(packed: Tensor, dtype: DType, count: int) -> Tensor:
    """Unpack ``count`` elements of less than a byte from uint8 ``packed`` into int8 or uint8 [count]."""
    if dtype.bits == 4:
        # An int8 right shift keeps the sign; a uint8 right shift doesn't.
        source = packed.view(dtype.carrier)
        pairs = torch.empty(packed.numel(), 2, dtype=dtype.carrier)
        torch.bitwise_right_shift(source << 4, 4, out=pairs[:, 0])
        torch.bitwise_right_shift(source, 4, out=pairs[:, 1])
        return pairs.flatten()[:count]
    bits = np.unpackbits(packed.numpy(), bitorder="little")[: count * dtype.bits].reshape(count, dtype.bits)
    weights = (1 << np.arange(dtype.bits)).astype(np.uint8)
    return torch.from_numpy((bits * weights).sum(1, dtype=np.uint8))


def _reason(error: Exception) -> str:
    return error.strerror or "can't be read" if isinstance(error, OSError) else "the file is empty"
