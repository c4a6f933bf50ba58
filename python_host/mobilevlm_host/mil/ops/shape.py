"""Operations that move values: slices, layouts, lookups, and tensors created from sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def _ints(values: Tensor) -> list[int]:
    return [int(value) for value in values]


def reshape(x: Tensor, shape: Tensor) -> Tensor:
    """Reshape; one length may be -1 (inferred), and 0 means the length of ``x`` there, counted from the last axis (1 if none)."""
    sizes = _ints(shape)
    shift = x.ndim - len(sizes)
    own = [x.shape[axis + shift] if axis + shift >= 0 else 1 for axis in range(len(sizes))]
    return x.reshape([own[axis] if size == 0 and x.numel() else size for axis, size in enumerate(sizes)])


def transpose(x: Tensor, perm: Tensor) -> Tensor:
    """Reorder the axes to ``perm``."""
    return x.permute(_ints(perm))


def expand_dims(x: Tensor, axes: Tensor) -> Tensor:
    """Insert axes of length 1; ``axes`` are positions in the result."""
    rank = x.ndim + axes.numel()
    for axis in sorted(axis % rank for axis in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Remove ``axes`` of length 1, by default all of them."""
    return x.squeeze() if axes is None else x.squeeze(_ints(axes))


def flatten2d(x: Tensor, axis: Tensor | int = 1) -> Tensor:
    """Flatten to two axes: all before ``axis``, and the rest."""
    at = int(axis) if int(axis) >= 0 else int(axis) + x.ndim
    return x.reshape(x.shape[:at].numel(), -1)


def concat(values: list[Tensor], axis: Tensor, interleave: Tensor | bool = False) -> Tensor:
    """Concatenate along ``axis``; with ``interleave``, alternate elements of the values."""
    if not bool(interleave):
        return torch.cat(values, int(axis))
    along = int(axis) % values[0].ndim
    return torch.stack(values, along + 1).flatten(along, along + 1)


def stack(values: list[Tensor], axis: Tensor) -> Tensor:
    """Stack along a new ``axis``."""
    return torch.stack(values, int(axis))


def split(
    x: Tensor, axis: Tensor, num_splits: Tensor | None = None, split_sizes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Split along ``axis`` into parts of ``split_sizes``, or ``num_splits`` equal parts."""
    if split_sizes is not None:
        return x.split(_ints(split_sizes), int(axis))
    assert num_splits is not None, "split: neither num_splits nor split_sizes"
    return x.split(x.shape[int(axis)] // int(num_splits), int(axis))


def _where(
    shape: torch.Size,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None,
    begin_mask: Tensor | None,
    end_mask: Tensor | None,
    squeeze_mask: Tensor | None,
) -> list[slice | int]:
    """The slice as a Python index: masks omit a bound, or select only ``begin`` and drop the axis."""
    index: list[slice | int] = []
    for axis in range(len(shape)):
        step = 1 if stride is None else int(stride[axis])
        first = None if begin_mask is not None and bool(begin_mask[axis]) else int(begin[axis])
        last = None if end_mask is not None and bool(end_mask[axis]) else int(end[axis])
        squeezed = squeeze_mask is not None and bool(squeeze_mask[axis])
        index.append((first or 0) if squeezed else slice(first, last, step))
    return index


def slice_by_index(
    x: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """``x[begin:end:stride]`` in each axis, with Python's rules for negative and out-of-range numbers."""
    index = _where(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask)
    for axis, item in enumerate(index):
        if isinstance(item, slice) and item.step < 0:  # torch has no negative steps
            x = x.index_select(axis, torch.tensor(range(*item.indices(x.shape[axis])), dtype=torch.long))
            index[axis] = slice(None)
    return x[tuple(index)]


def slice_by_size(x: Tensor, begin: Tensor, size: Tensor) -> Tensor:
    """``size`` elements from ``begin`` in each axis; -1 means all remaining ones."""
    for axis, (first, length) in enumerate(zip(_ints(begin), _ints(size), strict=True)):
        first += x.shape[axis] if first < 0 else 0
        x = x.narrow(axis, first, x.shape[axis] - first if length == -1 else length)
    return x


def slice_update(
    x: Tensor,
    update: Tensor,
    begin: Tensor,
    end: Tensor,
    stride: Tensor | None = None,
    begin_mask: Tensor | None = None,
    end_mask: Tensor | None = None,
    squeeze_mask: Tensor | None = None,
) -> Tensor:
    """``x`` with a slice, chosen as in :func:`slice_by_index`, replaced by ``update``."""
    index = tuple(_where(x.shape, begin, end, stride, begin_mask, end_mask, squeeze_mask))
    shape = x[index].shape
    if shape != update.shape:
        raise ValueError(f"got an update {list(update.shape)}, expected the slice's {list(shape)}")
    updated = x.clone()
    updated[index] = update.to(x.dtype)
    return updated


def tile(x: Tensor, reps: Tensor) -> Tensor:
    """Repeat ``x`` ``reps`` times along each axis."""
    return x.tile(_ints(reps))


def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: Tensor | float = 0.0) -> Tensor:
    """Pad the last axes; ``pad`` holds the lengths before and after each, in their order."""
    pairs = pad.reshape(-1, 2).flip(0).flatten()  # torch starts with the last axis
    if mode == "constant":
        return functional.pad(x, _ints(pairs), value=float(constant_val))
    kinds = {"reflect": "reflect", "reflection": "reflect", "replicate": "replicate"}
    rank = max(pairs.numel() // 2 + 1, 2)  # torch requires at least one axis that isn't padded
    grown = x.reshape((1,) * max(0, rank - x.ndim) + tuple(x.shape))
    return functional.pad(grown, _ints(pairs), mode=kinds[mode]).reshape([
        size + sum(_ints(pad)[2 * at : 2 * at + 2]) if at >= 0 else size
        for at, size in zip(range(pad.numel() // 2 - x.ndim, pad.numel() // 2), x.shape, strict=True)
    ])  # fmt: skip


def reverse(x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Reverse the order along ``axes``, by default all."""
    return x.flip(list(range(x.ndim)) if axes is None else _ints(axes))


def identity(x: Tensor) -> Tensor:
    """Return ``x``."""
    return x


def _in_range(indices: Tensor, length: int) -> Tensor:
    found = indices.long()
    found = torch.where(found < 0, found + length, found)
    if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < length:
        raise ValueError(f"got an index {int(indices.min())} to {int(indices.max())}, expected less than {length}")
    return found


def gather(
    x: Tensor,
    indices: Tensor,
    axis: Tensor | int = 0,
    batch_dims: Tensor | int = 0,
    validate_indices: Tensor | bool = False,
) -> Tensor:
    """Slices of ``x`` at ``indices`` along ``axis``; the first ``batch_dims`` axes of both are batch axes."""
    along, batch = int(axis) % x.ndim, int(batch_dims)
    found = _in_range(indices, x.shape[along])
    if batch == 0:
        return x.index_select(along, found.flatten()).reshape(*x.shape[:along], *found.shape, *x.shape[along + 1 :])
    count = x.shape[:batch].numel()
    parts = [
        gather(part, where, torch.tensor(along - batch))
        for part, where in zip(
            x.reshape(count, *x.shape[batch:]), found.reshape(count, *found.shape[batch:]), strict=True
        )
    ]
    return torch.stack(parts).reshape(*x.shape[:along], *found.shape[batch:], *x.shape[along + 1 :])


def gather_along_axis(
    x: Tensor, indices: Tensor, axis: Tensor | int = 0, validate_indices: Tensor | bool = False
) -> Tensor:
    """The elements of ``x`` at ``indices`` along ``axis``, elementwise."""
    return x.gather(int(axis), _in_range(indices, x.shape[int(axis)]))


def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a`` where ``cond``, else ``b``."""
    return torch.where(cond.bool(), a, b)


def shape(x: Tensor) -> Tensor:
    """The shape of ``x``."""
    return torch.tensor(x.shape, dtype=torch.int32)


def fill(shape: Tensor, value: Tensor | float = 0.0) -> Tensor:
    """A tensor of ``shape`` filled with ``value``."""
    filler = torch.as_tensor(value)
    return filler.expand(_ints(shape)).clone()


def fill_like(ref_tensor: Tensor, value: Tensor | float = 0.0) -> Tensor:
    """A tensor of the shape of ``ref_tensor`` filled with ``value``."""
    return torch.as_tensor(value).expand(ref_tensor.shape).clone()


def range_1d(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    """Numbers from ``start`` to ``end``, exclusive."""
    return torch.arange(start.item(), end.item(), step.item(), dtype=torch.promote_types(start.dtype, step.dtype))


def one_hot(
    indices: Tensor,
    one_hot_vector_size: Tensor,
    axis: Tensor | int = -1,
    on_value: Tensor | int = 1,
    off_value: Tensor | int = 0,
) -> Tensor:
    """``on_value`` at each index of a new ``axis``, ``off_value`` elsewhere."""
    hot = indices.long()[..., None] == torch.arange(int(one_hot_vector_size))
    rank = hot.ndim
    return torch.where(hot.movedim(-1, int(axis) % rank), torch.as_tensor(on_value), torch.as_tensor(off_value))


def band_part(x: Tensor, lower: Tensor | int = -1, upper: Tensor | int = -1) -> Tensor:
    """Zero all elements outside a band of ``lower`` sub- and ``upper`` superdiagonals; -1 keeps that whole side."""
    kept = x if int(lower) < 0 else x.triu(-int(lower))
    return kept if int(upper) < 0 else kept.tril(int(upper))


SHAPE: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        band_part, concat, expand_dims, fill, fill_like, flatten2d, gather, gather_along_axis, identity, one_hot, pad, range_1d,
        reshape, reverse, select, shape, slice_by_index, slice_by_size, slice_update, split, squeeze, stack, tile, transpose,
    )
}  # fmt: skip
