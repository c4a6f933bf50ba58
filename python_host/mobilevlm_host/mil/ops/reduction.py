"""Operations that reduce axes, search along one, or accumulate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _axes(x: Tensor, axes: Tensor | None) -> list[int]:
    return list(range(x.ndim)) if axes is None else [int(axis) for axis in axes]


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, axes: Tensor | None = None, keep_dims: Tensor | bool = False) -> Tensor:
        return function(x, _axes(x, axes), bool(keep_dims))

    return call


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def reduce_argmax(
    x: Tensor, axis: Tensor | int = -1, keep_dims: Tensor | bool = False, output_dtype: str = "int32"
) -> Tensor:
    """The index of the largest element along ``axis``; the declared type matches ``output_dtype``."""
    return x.argmax(int(axis), keepdim=bool(keep_dims))


def reduce_argmin(
    x: Tensor, axis: Tensor | int = -1, keep_dims: Tensor | bool = False, output_dtype: str = "int32"
) -> Tensor:
    """The index of the smallest element along ``axis``."""
    return x.argmin(int(axis), keepdim=bool(keep_dims))


def argsort(x: Tensor, axis: Tensor | int = -1, ascending: Tensor | bool = False) -> Tensor:
    """Indices that sort in descending order, or in ascending order."""
    return x.argsort(dim=int(axis), descending=not bool(ascending), stable=True)


def topk(
    x: Tensor,
    k: Tensor | int = 1,
    axis: Tensor | int = -1,
    ascending: Tensor | bool = False,
    sort: Tensor | bool = True,
    return_indices: Tensor | bool = True,
    output_indices_dtype: str = "int32",
) -> tuple[Tensor, ...]:
    """The ``k`` largest (``ascending``: smallest) elements along ``axis`` and their indices; ``k`` -1 means all."""
    count = x.shape[int(axis)] if int(k) == -1 else int(k)
    values, indices = x.topk(count, int(axis), largest=not bool(ascending), sorted=bool(sort))
    return (values, indices) if bool(return_indices) else (values,)


def cumsum(
    x: Tensor, axis: Tensor | int = 0, exclusive: Tensor | bool = False, reverse: Tensor | bool = False
) -> Tensor:
    """Cumulative sums along ``axis``; ``exclusive``: without the element itself; ``reverse``: from the end."""
    along = int(axis)
    x = x.flip(along) if bool(reverse) else x
    sums = x.cumsum(along, dtype=x.dtype)
    sums = sums - x if bool(exclusive) else sums
    return sums.flip(along) if bool(reverse) else sums


REDUCTION: dict[str, Callable[..., Any]] = {
    "reduce_sum": _reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep, dtype=x.dtype)),
    "reduce_mean": _reduction(lambda x, axes, keep: x.to(torch.float32).mean(axes, keepdim=keep)),
    "reduce_max": _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "reduce_min": _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "reduce_prod": _reduction(_product),
    "reduce_sum_square": _reduction(lambda x, axes, keep: x.square().sum(axes, keepdim=keep, dtype=x.dtype)),
    "reduce_l1_norm": _reduction(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep, dtype=x.dtype)),
    "reduce_l2_norm": _reduction(lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt()),
    "reduce_log_sum": _reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "reduce_log_sum_exp": _reduction(lambda x, axes, keep: x.logsumexp(axes, keepdim=keep)),
    "reduce_argmax": reduce_argmax,
    "reduce_argmin": reduce_argmin,
    "argsort": argsort,
    "topk": topk,
    "cumsum": cumsum,
}
