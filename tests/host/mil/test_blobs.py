"""The weight file, compared with bytes written by hand and with Core ML Tools' own writer."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools.libmilstoragepython import _BlobStorageWriter

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.blobs import BlobFile
from mobilevlm_host.mil.dtypes import DType, dtype_named


def _dtype(name: str) -> DType:
    dtype = dtype_named(name)
    assert dtype is not None
    return dtype


def _file(path: Path, code: int, data: bytes, unused_bits: int = 0) -> Path:
    """One blob, laid down byte by byte."""
    header = struct.pack("<II", 1, 2).ljust(64, b"\0")
    metadata = struct.pack("<IIQQQ", 0xDEADBEEF, code, len(data), 128, unused_bits).ljust(64, b"\0")
    path.write_bytes(header + metadata + data)
    return path


# name, the file's code, bytes, unused bits, values
BY_HAND = {
    "fp16": (1, bytes.fromhex("003c00c00142"), 0, [1.0, -2.0, 3.001953125]),
    "fp32": (2, bytes.fromhex("0000803f000020c0"), 0, [1.0, -2.5]),
    "uint8": (3, bytes.fromhex("00ff80"), 0, [0, 255, 128]),
    "int8": (4, bytes.fromhex("00ff80"), 0, [0, -1, -128]),
    "int16": (6, bytes.fromhex("feff0080"), 0, [-2, -32768]),
    "uint16": (7, bytes.fromhex("feff0080"), 0, [65534, 32768]),
    "int32": (14, bytes.fromhex("ffffffff01000000"), 0, [-1, 1]),
    "uint32": (15, bytes.fromhex("ffffffff"), 0, [4294967295]),
    # the first element in the lowest bits: 0x18 is 8 (-8), then 1
    "int4": (8, bytes.fromhex("18f7"), 0, [-8, 1, 7, -1]),
    "uint4": (11, bytes.fromhex("180f"), 4, [8, 1, 15]),
    "uint1": (9, bytes.fromhex("05"), 5, [1, 0, 1]),
    "uint2": (10, bytes.fromhex("2d"), 2, [1, 3, 2]),
    # 001 111 101 from the lowest bit: 0b101111001 is 0x179
    "uint3": (12, bytes.fromhex("7901"), 7, [1, 7, 5]),
    "uint6": (13, bytes.fromhex("c11f02"), 6, [1, 63, 33]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_bytes_written_by_hand_are_read(tmp_path: Path, name: str) -> None:
    code, data, unused, values = BY_HAND[name]
    blobs = BlobFile(_file(tmp_path / "weight.bin", code, data, unused))
    read = blobs.read(64, _dtype(name), (len(values), 1))
    assert read.flatten().tolist() == values
    assert read.shape == (len(values), 1)
    assert blobs.size(64, _dtype(name), (len(values),)) == len(data)


@pytest.mark.parametrize("name", ["int4", "uint1", "uint2", "uint3", "uint4", "uint6", "int8", "uint8"])
def test_core_ml_tools_files_are_read(tmp_path: Path, name: str) -> None:
    dtype = _dtype(name)
    low, high = (-(1 << dtype.bits - 1), 1 << dtype.bits - 1) if dtype.signed else (0, 1 << dtype.bits)
    random = np.random.default_rng(0)
    carrier = np.int8 if dtype.signed else np.uint8
    arrays = [random.integers(low, high, count).astype(carrier) for count in (1, 7, 64, 1001)]
    writer = _BlobStorageWriter(str(tmp_path / "weight.bin"))
    offsets = [getattr(writer, f"write_{name}_data")(each) for each in arrays]
    del writer
    blobs = BlobFile(tmp_path / "weight.bin")
    for offset, wrote in zip(offsets, arrays, strict=True):
        assert torch.equal(blobs.read(offset, dtype, wrote.shape), torch.tensor(wrote))


def test_a_whole_byte_type_is_the_mapped_file(tmp_path: Path) -> None:
    path = _file(tmp_path / "weight.bin", 1, np.arange(3, dtype=np.float16).tobytes())
    blobs = BlobFile(path)
    first, second = (blobs.read(64, _dtype("fp16"), (3,)) for _ in range(2))
    assert first.data_ptr() == second.data_ptr()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: raw[:131], r"weight.bin: blob at 64: the file ends after 131 bytes, expected 134"),
        (lambda raw: raw[:100], r"blob at 64: the file ends after 100 bytes, expected 64 bytes of metadata"),
        (lambda raw: raw[:20], r"weight.bin: got 20 bytes, expected a header of 64"),
        (lambda raw: b"", r"weight.bin: the file is empty, expected a weight file"),
        (lambda raw: raw[:4] + b"\x09" + raw[5:], r"got version 9, expected 2"),
        (lambda raw: raw[:64] + b"\0" + raw[65:], r"blob at 64: got 0xDEADBE00, expected 0xDEADBEEF"),
        (lambda raw: raw[:68] + b"\x02" + raw[69:], r"blob at 64: got element type 2, expected 1 \(fp16\)"),
        (lambda raw: raw[:72] + b"\x04" + raw[73:], r"blob at 64: got 4 bytes of fp16, expected 6 for 3 elements"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, spoil: object, message: str) -> None:
    path = _file(tmp_path / "weight.bin", 1, np.arange(3, dtype=np.float16).tobytes())
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(MilError, match=message):
        BlobFile(path).read(64, _dtype("fp16"), (3,))
    with pytest.raises(MilError, match="No such file"):
        BlobFile(tmp_path / "none.bin")
