"""Compressed weights, compared with numbers computed by hand and with Core ML Tools' own decompression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.ops.defs.iOS18.compression import constexpr_blockwise_shift_scale as apple_blockwise
from coremltools.converters.mil.mil.ops.defs.iOS18.compression import constexpr_lut_to_dense as apple_lut

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil import Program
from mobilevlm_host.mil.constexpr import (
    constexpr_affine_dequantize,
    constexpr_blockwise_shift_scale,
    constexpr_cast,
    constexpr_lut_to_dense,
    constexpr_sparse_to_dense,
)

from .saved import save


def test_blocks_by_hand() -> None:
    data = torch.tensor([[-8, 7, 1, 2], [3, -4, 5, -6]], dtype=torch.int8)
    scale = torch.tensor([[0.5, 2.0], [1.0, 0.25]], dtype=torch.float16)
    assert constexpr_blockwise_shift_scale(data, scale).tolist() == [[-4, 3.5, 2, 4], [3, -4, 1.25, -1.5]]
    offset = torch.tensor([[1, -1], [0, 2]], dtype=torch.int8)
    assert constexpr_blockwise_shift_scale(data, scale, offset).tolist() == [[-4.5, 3, 4, 6], [3, -4, 0.75, -2]]


def test_tables_by_hand() -> None:
    # two tables, each for three rows: the example of MIL's documentation
    indices = torch.tensor([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3], dtype=torch.uint8).reshape(6, 2)
    lut = torch.tensor([1, 5, 9, 13, 2, 10, 18, 26], dtype=torch.float16).reshape(2, 1, 4, 1)
    assert constexpr_lut_to_dense(indices, lut).tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]
    pairs = torch.tensor([[0, 1]], dtype=torch.uint8)
    vectors = torch.tensor([[1, 2], [3, 4]], dtype=torch.float16).reshape(1, 1, 2, 2)
    assert constexpr_lut_to_dense(pairs, vectors, torch.tensor(0)).tolist() == [[1, 3], [2, 4]]
    assert constexpr_lut_to_dense(pairs, vectors, torch.tensor(-1)).tolist() == [[1, 2, 3, 4]]


def test_forms_of_ios_16_by_hand() -> None:
    data, axis = torch.tensor([[1, 255], [7, 0]], dtype=torch.uint8), torch.tensor(0)
    zero, scale = torch.tensor([1, 2], dtype=torch.uint8), torch.tensor([0.5, 2.0])
    assert constexpr_affine_dequantize(data, zero, scale, axis).tolist() == [[0, 127], [10, -4]]
    # indices 1, 0, 3, 2 of two bits, from the lowest: 0b10110001
    packed, table = torch.tensor([0b10110001], dtype=torch.uint8), torch.tensor([10.0, 11, 12, 13])
    assert constexpr_lut_to_dense(packed, table, shape=torch.tensor([2, 2])).tolist() == [[11, 10], [13, 12]]
    mask, values = torch.tensor([0b00000101], dtype=torch.uint8), torch.tensor([7.0, 8.0])
    assert constexpr_sparse_to_dense(values, mask, torch.tensor([1, 3])).tolist() == [[7, 0, 8]]
    assert constexpr_sparse_to_dense(values, torch.tensor([[0, 1], [1, 0]])).tolist() == [[0, 7], [8, 0]]
    assert constexpr_cast(torch.tensor([1.5], dtype=torch.float16), "fp32").dtype == torch.float32


@pytest.mark.parametrize("blocks", [(6, 1), (6, 4), (1, 1), (3, 8), (6, 32)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("shifted", [False, True])
def test_blocks_equal_core_ml_tools(blocks: tuple[int, int], dtype: Any, shifted: bool) -> None:
    random = np.random.default_rng(0)
    info = np.iinfo(dtype)
    data = random.integers(info.min, info.max + 1, (6, 32)).astype(dtype)
    scale = random.random(blocks).astype(np.float16)
    offset = random.integers(info.min, info.max + 1, blocks).astype(dtype) if shifted else None
    ours = constexpr_blockwise_shift_scale(
        torch.tensor(data), torch.tensor(scale), None if offset is None else torch.tensor(offset)
    )
    theirs = apple_blockwise.decompress(data, scale, None if offset is None else offset.astype(np.float16))
    assert np.array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize(
    ("tables", "vector", "axis"), [((1, 1), 1, None), ((4, 1), 1, None), ((2, 3), 2, 0), ((2, 1), 3, 1)]
)
def test_tables_equal_core_ml_tools(bits: int, tables: tuple[int, int], vector: int, axis: int | None) -> None:
    random = np.random.default_rng(bits)
    indices = random.integers(0, 1 << bits, (8, 6)).astype(np.uint8)
    lut = random.standard_normal((*tables, 1 << bits, vector)).astype(np.float16)
    ours = constexpr_lut_to_dense(
        torch.tensor(indices), torch.tensor(lut), None if axis is None else torch.tensor(axis)
    )
    assert np.array_equal(ours.numpy(), apple_lut.decompress(indices, lut, axis))


_INT4, _UINT4 = (types.nptype_from_builtin(each) for each in (types.int4, types.uint4))


def _saved_weight(path: Path, kind: str) -> np.ndarray:
    """Save a program that multiplies by a compressed weight [8, 64], and return that weight."""
    random = np.random.default_rng(0)
    scale = random.random((8, 2)).astype(np.float16)
    parts: dict[str, Any] = {
        "int4": {"data": random.integers(-8, 8, (8, 64)).astype(_INT4), "scale": scale},
        "uint4": {
            "data": random.integers(0, 16, (8, 64)).astype(_UINT4), "scale": scale,
            "offset": random.integers(0, 16, (8, 2)).astype(_UINT4),
        },
        "int8": {"data": random.integers(-128, 128, (8, 64)).astype(np.int8), "scale": scale[:, :1]},
        "uint8": {
            "data": random.integers(0, 256, (8, 64)).astype(np.uint8), "scale": scale[:, :1],
            "offset": random.integers(0, 256, (8, 1)).astype(np.uint8),
        },
        "palette": {
            "indices": random.integers(0, 16, (8, 64)).astype(_UINT4), "lut": random.random((2, 1, 16, 1)).astype(np.float16),
        },
        "sparse": {
            "nonzero_data": random.random(256).astype(np.float16),
            "mask": random.permutation(np.arange(512) % 2).reshape(8, 64).astype(types.nptype_from_builtin(types.uint1)),
        },
    }[kind]  # fmt: skip
    make = {"palette": mb.constexpr_lut_to_dense, "sparse": mb.constexpr_sparse_to_dense}.get(
        kind, mb.constexpr_blockwise_shift_scale
    )
    kept: list[np.ndarray] = []

    @mb.program(input_specs=[mb.TensorSpec((64, 64), dtype=types.fp16)], opset_version=ct.target.iOS18)
    def program(x: Any) -> Any:
        weight = make(**parts)
        kept.append(weight.op.materialized_val_inference())
        return mb.linear(x=x, weight=weight)

    save(path, program)
    return kept[0]


@pytest.mark.parametrize("kind", ["int4", "uint4", "int8", "uint8", "palette", "sparse"])
def test_a_saved_weight_equals_core_ml_tools(tmp_path: Path, kind: str) -> None:
    theirs = _saved_weight(tmp_path / "weight.mlpackage", kind)
    program = Program.open(tmp_path / "weight.mlpackage")
    (ours,) = program.function().run({"x": torch.eye(64)}).values()
    assert np.array_equal(ours.numpy().T, theirs)
    size = sum(size for name, size in program.package.weight_bytes().items() if "int" in name or "sparse" in name)
    assert size >= {"int4": 256, "uint4": 256, "palette": 256, "sparse": 64}.get(kind, 512)


def test_a_swapped_scale_is_detected(tmp_path: Path) -> None:
    """The check above must be able to fail."""
    theirs = _saved_weight(tmp_path / "weight.mlpackage", "int4")
    path = tmp_path / "weight.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    raw = bytearray(path.read_bytes())
    raw[128] ^= 0x10  # an element of the data, two bits off
    path.write_bytes(raw)
    (ours,) = Program.open(tmp_path / "weight.mlpackage").function().run({"x": torch.eye(64)}).values()
    assert (theirs != ours.numpy().T).sum() == 1


def test_a_truncated_weight_file_is_named_when_the_weight_is_used(tmp_path: Path) -> None:
    _saved_weight(tmp_path / "weight.mlpackage", "int8")
    path = tmp_path / "weight.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MilError, match=r"weight.bin: blob at \d+: the file ends after 200 bytes, expected \d+"):
        Program.open(tmp_path / "weight.mlpackage").function().run({"x": torch.eye(64)})
