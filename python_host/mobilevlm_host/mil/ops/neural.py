"""Layers: matrix products, convolutions, pooling, normalization, attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CONV = (functional.conv1d, functional.conv2d, functional.conv3d)
_CONV_TRANSPOSE = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
_AVG_POOL: tuple[Callable[..., Tensor], ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
_MAX_POOL: tuple[Callable[..., Tensor], ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``."""
    return functional.linear(x, weight, bias)


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor | bool = False, transpose_y: Tensor | bool = False) -> Tensor:
    """Matrix products over the last two axes, with either operand transposed first."""
    x = x.transpose(-1, -2) if bool(transpose_x) else x
    return x @ (y.transpose(-1, -2) if bool(transpose_y) else y)


def einsum(values: list[Tensor], equation: str) -> Tensor:
    """Einstein summation."""
    return torch.einsum(equation, *values)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """``softmax(query key^T / sqrt(E) + mask) value``; a boolean mask is True where a key is visible."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1) @ value


def softmax(x: Tensor, axis: Tensor | int = -1) -> Tensor:
    """Softmax along ``axis``."""
    return x.softmax(int(axis))


def layer_norm(
    x: Tensor,
    axes: Tensor | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | float = 1e-5,
) -> Tensor:
    """Normalize to mean 0 and variance 1 over ``axes``, then scale by ``gamma`` and add ``beta``, which have only those axes."""
    over = sorted(int(axis) % x.ndim for axis in (range(x.ndim) if axes is None else axes))
    shape = [x.shape[axis] if axis in over else 1 for axis in range(x.ndim)]
    mean = x.mean(over, keepdim=True)
    normed = (x - mean) * ((x - mean).square().mean(over, keepdim=True) + epsilon).rsqrt()
    normed = normed if gamma is None else normed * gamma.reshape(shape)
    return normed if beta is None else normed + beta.reshape(shape)


def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: Tensor | float = 1e-5,
) -> Tensor:
    """Normalize each channel (axis 1) with given statistics."""
    return functional.batch_norm(x, mean, variance, gamma, beta, eps=float(epsilon))


def instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: Tensor | float = 1e-5
) -> Tensor:
    """Normalize each channel of each sample with its own statistics."""
    return functional.instance_norm(x, weight=gamma, bias=beta, eps=float(epsilon))


def l2_norm(x: Tensor, epsilon: Tensor | float = 1e-6) -> Tensor:
    """Divide by the root of the sum of squares over the last three axes."""
    return x / (x.square().sum((-3, -2, -1), keepdim=True) + epsilon).sqrt()


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | int = 1,
) -> Tensor:
    """Convolution over 1, 2 or 3 spatial axes."""
    spatial = x.ndim - 2
    step, apart = _sizes(strides, spatial), _sizes(dilations, spatial)
    kernel = [(size - 1) * gap + 1 for size, gap in zip(weight.shape[2:], apart, strict=True)]
    padded = functional.pad(x, _torch_order(_padding(pad_type, pad, x.shape[2:], kernel, step)))
    return _CONV[spatial - 1](padded, weight, bias, step, 0, apart, int(groups))


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    pad: Tensor | None = None,
    output_shape: Tensor | None = None,
    pad_type: str = "valid",
    strides: Tensor | None = None,
    dilations: Tensor | None = None,
    groups: Tensor | int = 1,
) -> Tensor:
    """Transposed convolution over 1, 2 or 3 spatial axes; ``pad`` is cropped from the result."""
    spatial = x.ndim - 2
    if pad_type not in ("valid", "custom") or output_shape is not None:
        raise ValueError(f"got pad_type {pad_type!r} or an output_shape, expected 'valid' or 'custom' alone")
    step, apart = _sizes(strides, spatial), _sizes(dilations, spatial)
    whole = _CONV_TRANSPOSE[spatial - 1](x, weight, bias, step, 0, 0, int(groups), apart)
    cut = _padding(pad_type, pad, x.shape[2:], weight.shape[2:], step)
    return functional.pad(whole, [-length for length in _torch_order(cut)])


def avg_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    exclude_padding_from_average: Tensor | bool = False,
    ceil_mode: Tensor | bool = False,
) -> Tensor:
    """The mean of each window; padding counts as zeros unless it is excluded."""
    padded, kernel, step = _windows(x, kernel_sizes, strides, pad_type, pad, bool(ceil_mode), 0.0)
    sums = _AVG_POOL[x.ndim - 3](padded, kernel, step)
    if not bool(exclude_padding_from_average):
        # The area that ceil_mode adds beyond the padding is never part of a mean.
        ones, _, _ = _windows(
            torch.ones_like(x[:1, :1]), kernel_sizes, strides, pad_type, pad, bool(ceil_mode), 0.0, 1.0
        )
    else:
        ones, _, _ = _windows(torch.ones_like(x[:1, :1]), kernel_sizes, strides, pad_type, pad, bool(ceil_mode), 0.0)
    return sums / _AVG_POOL[x.ndim - 3](ones, kernel, step)


def max_pool(
    x: Tensor,
    kernel_sizes: Tensor,
    strides: Tensor | None = None,
    pad_type: str = "valid",
    pad: Tensor | None = None,
    ceil_mode: Tensor | bool = False,
) -> Tensor:
    """The maximum of each window."""
    padded, kernel, step = _windows(x, kernel_sizes, strides, pad_type, pad, bool(ceil_mode), -torch.inf)
    return _MAX_POOL[x.ndim - 3](padded, kernel, step)


def _windows(
    x: Tensor,
    kernel_sizes: Tensor,
    strides: Tensor | None,
    pad_type: str,
    pad: Tensor | None,
    ceil_mode: bool,
    beyond: float,
    padding: float | None = None,
) -> tuple[Tensor, list[int], list[int]]:
    """``x`` padded with ``padding`` (default: as ``beyond``) and, where the last window isn't full, with ``beyond``."""
    spatial = x.ndim - 2
    kernel, step = _sizes(kernel_sizes, spatial), _sizes(strides, spatial)
    pairs = _padding(pad_type, pad, x.shape[2:], kernel, step)
    padded = functional.pad(x, _torch_order(pairs), value=beyond if padding is None else padding)
    if not ceil_mode:
        return padded, kernel, step
    more = []
    for size, (before, _), got, width, stride in zip(x.shape[2:], pairs, padded.shape[2:], kernel, step, strict=True):
        count = -(-(got - width) // stride) + 1
        count -= (count - 1) * stride >= size + before  # a window must start inside
        more.append((0, max(0, (count - 1) * stride + width - got)))
    return functional.pad(padded, _torch_order(more), value=beyond), kernel, step


def _sizes(values: Tensor | None, spatial: int) -> list[int]:
    return [1] * spatial if values is None else [int(value) for value in values]


def _padding(
    pad_type: str, pad: Tensor | None, shape: torch.Size | list[int], kernel: torch.Size | list[int], step: list[int]
) -> list[tuple[int, int]]:
    """The padding before and after each spatial axis. ``same`` yields ceil(length / stride) windows, with an odd element of
    padding at the end, ``same_lower`` at the start.
    """
    if pad_type == "valid" or (pad_type == "custom" and pad is None):
        return [(0, 0)] * len(step)
    if pad_type == "custom":
        assert pad is not None
        flat = [int(length) for length in pad]
        return list(zip(flat[::2], flat[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"got pad_type {pad_type!r}, expected valid, custom, same or same_lower")
    pairs = []
    for size, width, stride in zip(shape, kernel, step, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + width - size)
        less = total // 2
        pairs.append((less, total - less) if pad_type == "same" else (total - less, less))
    return pairs


def _torch_order(pairs: list[tuple[int, int]]) -> list[int]:
    """Padding in the order of torch's pad, which starts with the last axis."""
    return [length for pair in reversed(pairs) for length in pair]


NEURAL: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        avg_pool, batch_norm, conv, conv_transpose, einsum, instance_norm, l2_norm, layer_norm, linear, matmul, max_pool,
        scaled_dot_product_attention, softmax,
    )
}  # fmt: skip
