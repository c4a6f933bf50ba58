"""Decompress the weights of ML Programs.

Each function implements the operation of its name: it takes the operation's parameters as tensors and returns the dense weight in
the type of the scale or table. Products are computed in float32 and rounded once, which is exact for integers times fp16. Sources:
the definitions of the MIL operations in Core ML Tools' documentation, for iOS 16 (packed indices and masks, a ``shape``) and iOS 18
(sub-byte types).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from mobilevlm_host.mil.blobs import unpack
from mobilevlm_host.mil.dtypes import dtype_named

_AT_ONCE = 1 << 22  # elements widened at a time


def constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """``scale * (data - offset)``; each scale applies to a block. ``scale`` has as many entries along each axis as there are blocks."""
    blocked = data.reshape(_blocked_shape(data.shape, scale.shape))
    per_block = [length for count in scale.shape for length in (count, 1)]
    scales, offsets = scale.reshape(per_block), None if offset is None else offset.reshape(per_block)
    dense = torch.empty(blocked.shape, dtype=scale.dtype)
    rows = max(1, _AT_ONCE * blocked.shape[0] // max(1, blocked.numel()))
    for at in range(0, blocked.shape[0], rows):
        part = slice(at, at + rows)
        values = blocked[part].to(torch.float32)
        if offsets is not None:
            values -= offsets[part].to(torch.float32)
        dense[part] = values.mul_(scales[part].to(torch.float32))
    return dense.reshape(data.shape)


def constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Tensor, scale: Tensor, axis: Tensor) -> Tensor:
    """``scale * (data - zero_point)``, both either one value or one per index of ``axis`` (iOS 16)."""
    shape = [1] * quantized_data.ndim
    shape[int(axis)] = -1
    shifted = quantized_data.to(torch.float32) - zero_point.to(torch.float32).reshape(shape)
    return (shifted * scale.to(torch.float32).reshape(shape)).to(scale.dtype)


def constexpr_lut_to_dense(
    indices: Tensor, lut: Tensor, vector_axis: Tensor | None = None, shape: Tensor | None = None
) -> Tensor:
    """Values of the table ``lut`` at ``indices``.

    iOS 18: indices [I0, …], lut [L0, …, palette, vector]: each table applies to a block, and each index represents ``vector``
    elements along ``vector_axis``. iOS 16: indices are packed bits, ``lut`` is one table, and ``shape`` is the result's.
    """
    if shape is not None:
        size = [int(length) for length in shape]
        bits = lut.numel().bit_length() - 1
        wanted = dtype_named(f"uint{bits}")
        assert wanted is not None, f"a table of {lut.numel()} values"
        found = indices if bits == 8 else unpack(indices, wanted, prod(size))
        return lut[found.long()].reshape(size)
    tables, palette, vector = lut.shape[:-2], lut.shape[-2], lut.shape[-1]
    rank = indices.ndim
    first, second = range(0, 2 * rank, 2), range(1, 2 * rank, 2)
    split = _blocked_shape(indices.shape, tables)
    grouped = indices.reshape(split).permute(*first, *second)  # [L0, …, B0, …]
    flat = grouped.reshape(prod(tables), -1).long()
    flat += torch.arange(prod(tables))[:, None] * palette
    values = lut.reshape(-1, vector)[flat].reshape(*grouped.shape, vector)
    order = [axis for pair in zip(range(rank), range(rank, 2 * rank), strict=True) for axis in pair]
    dense = values.permute(*order, 2 * rank).reshape(*indices.shape, vector)
    if vector == 1:
        return dense.squeeze(-1)
    axis = int(vector_axis) % rank if vector_axis is not None else rank - 1
    return dense.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(nonzero_data: Tensor, mask: Tensor, shape: Tensor | None = None) -> Tensor:
    """``nonzero_data`` where ``mask`` is 1, else 0; for iOS 16 the mask's bits are packed and ``shape`` is given."""
    if shape is not None:
        size = [int(length) for length in shape]
        bit = dtype_named("uint1")
        assert bit is not None
        mask = unpack(mask, bit, prod(size)).reshape(size)
    dense = torch.zeros(mask.shape, dtype=nonzero_data.dtype)
    dense[mask != 0] = nonzero_data
    return dense


def constexpr_cast(source_val: Tensor, output_dtype: str) -> Tensor:
    """``source_val`` in the type named ``output_dtype``."""
    wanted = dtype_named(output_dtype)
    assert wanted is not None, output_dtype
    return source_val.to(wanted.carrier)


def _blocked_shape(shape: torch.Size, counts: torch.Size) -> list[int]:
    """[d0, d1, …] split into ``counts`` blocks along each axis: [c0, d0 / c0, c1, d1 / c1, …]."""
    return [length for size, count in zip(shape, counts, strict=True) for length in (count, size // count)]


CONSTEXPR: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        constexpr_affine_dequantize,
        constexpr_blockwise_shift_scale,
        constexpr_cast,
        constexpr_lut_to_dense,
        constexpr_sparse_to_dense,
    )
}
