"""Each operation, saved by Core ML Tools and run by this evaluator, compared with torch or numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from torch import Tensor
from torch.nn import functional

from mobilevlm_host.mil import Program
from mobilevlm_host.mil.ops import OPS

from .saved import build, outputs_of, save


def _floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


A, B, ROW = _floats(2, 3, 4), _floats(2, 3, 4, seed=1), _floats(4, seed=2)
POSITIVE = np.abs(A) + 0.5
INSIDE = np.tanh(A)  # within (-1, 1)
INTS = np.array([[5, -7, 3], [-2, 9, 4]], np.int32)
OTHER = np.array([[2, 2, -3], [3, -4, 4]], np.int32)
PICTURE, SERIES = _floats(1, 4, 7, 6), _floats(1, 4, 9)
KERNEL, BIAS = _floats(6, 2, 3, 2, seed=3), _floats(6, seed=4)
TRUE = np.bool_(True)

Case = tuple[list[np.ndarray], Callable[..., Any], Callable[..., Any]]

CASES: dict[str, Case] = {
    # each element alone
    "abs": ([A], lambda x: mb.abs(x=x), torch.abs),
    "acos": ([INSIDE], lambda x: mb.acos(x=x), torch.acos),
    "asin": ([INSIDE], lambda x: mb.asin(x=x), torch.asin),
    "atan": ([A], lambda x: mb.atan(x=x), torch.atan),
    "atanh": ([INSIDE], lambda x: mb.atanh(x=x), torch.atanh),
    "ceil": ([A], lambda x: mb.ceil(x=x), torch.ceil),
    "cos": ([A], lambda x: mb.cos(x=x), torch.cos),
    "cosh": ([A], lambda x: mb.cosh(x=x), torch.cosh),
    "erf": ([A], lambda x: mb.erf(x=x), torch.erf),
    "exp": ([A], lambda x: mb.exp(x=x), torch.exp),
    "exp2": ([A], lambda x: mb.exp2(x=x), torch.exp2),
    "floor": ([A], lambda x: mb.floor(x=x), torch.floor),
    "round": ([np.float32([0.5, 1.5, -2.5, 0.6])], lambda x: mb.round(x=x), lambda x: torch.tensor([0.0, 2, -2, 1])),
    "sign": ([A], lambda x: mb.sign(x=x), torch.sign),
    "sin": ([A], lambda x: mb.sin(x=x), torch.sin),
    "sinh": ([A], lambda x: mb.sinh(x=x), torch.sinh),
    "sqrt": ([POSITIVE], lambda x: mb.sqrt(x=x), torch.sqrt),
    "square": ([A], lambda x: mb.square(x=x), lambda x: x * x),
    "tan": ([INSIDE], lambda x: mb.tan(x=x), torch.tan),
    "tanh": ([A], lambda x: mb.tanh(x=x), torch.tanh),
    "logical_not": ([A > 0], lambda x: mb.logical_not(x=x), torch.logical_not),
    "clip": ([A], lambda x: mb.clip(x=x, alpha=-0.5, beta=0.25), lambda x: x.clamp(-0.5, 0.25)),
    "inverse": ([POSITIVE], lambda x: mb.inverse(x=x, epsilon=0.1), lambda x: 1 / (x + 0.1)),
    "log": ([POSITIVE], lambda x: mb.log(x=x, epsilon=0.1), lambda x: (x + 0.1).log()),
    "rsqrt": ([POSITIVE], lambda x: mb.rsqrt(x=x, epsilon=0.5), lambda x: 1 / (x + 0.5).sqrt()),
    "threshold": ([A], lambda x: mb.threshold(x=x, alpha=0.1), lambda x: x.clamp(min=0.1)),
    "cast": ([A * 3], lambda x: mb.cast(x=x, dtype="int32"), lambda x: x.trunc().int()),
    "cast to bool": ([np.float32([0, 0.3, -2])], lambda x: mb.cast(x=x, dtype="bool"), lambda x: x != 0),
    # two of them
    "add": ([A, ROW], lambda x, y: mb.add(x=x, y=y), lambda x, y: x + y),
    "sub": ([A, ROW], lambda x, y: mb.sub(x=x, y=y), lambda x, y: x - y),
    "mul": ([A, ROW], lambda x, y: mb.mul(x=x, y=y), lambda x, y: x * y),
    "real_div": ([A, POSITIVE], lambda x, y: mb.real_div(x=x, y=y), lambda x, y: x / y),
    "floor_div": ([INTS, OTHER], lambda x, y: mb.floor_div(x=x, y=y), lambda x, y: x // y),
    "mod": ([INTS, OTHER], lambda x, y: mb.mod(x=x, y=y), lambda x, y: x - (x // y) * y),
    "pow": ([POSITIVE, A], lambda x, y: mb.pow(x=x, y=y), lambda x, y: (y * x.log()).exp()),
    "maximum": ([A, B], lambda x, y: mb.maximum(x=x, y=y), lambda x, y: torch.where(x > y, x, y)),
    "minimum": ([A, B], lambda x, y: mb.minimum(x=x, y=y), lambda x, y: torch.where(x < y, x, y)),
    "equal": ([INTS, OTHER], lambda x, y: mb.equal(x=x, y=y), lambda x, y: x == y),
    "not_equal": ([INTS, OTHER], lambda x, y: mb.not_equal(x=x, y=y), lambda x, y: x != y),
    "greater": ([INTS, OTHER], lambda x, y: mb.greater(x=x, y=y), lambda x, y: x > y),
    "greater_equal": ([INTS, OTHER], lambda x, y: mb.greater_equal(x=x, y=y), lambda x, y: x >= y),
    "less": ([INTS, OTHER], lambda x, y: mb.less(x=x, y=y), lambda x, y: x < y),
    "less_equal": ([INTS, OTHER], lambda x, y: mb.less_equal(x=x, y=y), lambda x, y: x <= y),
    "logical_and": ([A > 0, B > 0], lambda x, y: mb.logical_and(x=x, y=y), lambda x, y: x & y),
    "logical_or": ([A > 0, B > 0], lambda x, y: mb.logical_or(x=x, y=y), lambda x, y: x | y),
    "logical_xor": ([A > 0, B > 0], lambda x, y: mb.logical_xor(x=x, y=y), lambda x, y: x ^ y),
    # activations
    "relu": ([A], lambda x: mb.relu(x=x), lambda x: x * (x > 0)),
    "relu6": ([A * 8], lambda x: mb.relu6(x=x), functional.relu6),
    "sigmoid": ([A], lambda x: mb.sigmoid(x=x), lambda x: 1 / (1 + (-x).exp())),
    "silu": ([A], lambda x: mb.silu(x=x), lambda x: x / (1 + (-x).exp())),
    "softplus": ([A * 9], lambda x: mb.softplus(x=x), lambda x: (1 + x.double().exp()).log().float()),
    "softsign": ([A], lambda x: mb.softsign(x=x), lambda x: x / (1 + x.abs())),
    "gelu": ([A], lambda x: mb.gelu(x=x), lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
    "gelu, tanh": (
        [A],
        lambda x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: 0.5 * x * (1 + torch.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    ),
    "gelu, sigmoid": ([A], lambda x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"), lambda x: x * torch.sigmoid(1.702 * x)),
    "elu": ([A], lambda x: mb.elu(x=x, alpha=0.7), lambda x: torch.where(x > 0, x, 0.7 * (x.exp() - 1))),
    "leaky_relu": ([A], lambda x: mb.leaky_relu(x=x, alpha=0.2), lambda x: torch.where(x > 0, x, 0.2 * x)),
    "clamped_relu": (
        [A], lambda x: mb.clamped_relu(x=x, alpha=0.2, beta=0.8), lambda x: torch.where(x > 0, x, 0.2 * x).clamp(max=0.8),
    ),
    "linear_activation": ([A], lambda x: mb.linear_activation(x=x, alpha=2.0, beta=0.5), lambda x: 2 * x + 0.5),
    "prelu": (
        [PICTURE], lambda x: mb.prelu(x=x, alpha=POSITIVE[0, 0]), lambda x: torch.where(x > 0, x, x * _c(POSITIVE[0, 0])),
    ),
    "scaled_tanh": ([A], lambda x: mb.scaled_tanh(x=x, alpha=1.5, beta=0.5), lambda x: 1.5 * (0.5 * x).tanh()),
    "sigmoid_hard": ([A * 4], lambda x: mb.sigmoid_hard(x=x, alpha=0.3, beta=0.4), lambda x: (0.3 * x + 0.4).clamp(0, 1)),
    "thresholded_relu": ([A], lambda x: mb.thresholded_relu(x=x, alpha=0.4), lambda x: x * (x >= 0.4)),
    "softmax": ([A], lambda x: mb.softmax(x=x, axis=1), lambda x: x.exp() / x.exp().sum(1, keepdim=True)),
    # along axes
    "reduce_sum": ([A], lambda x: mb.reduce_sum(x=x, axes=[0, -1]), lambda x: x.sum((0, 2))),
    "reduce_sum of all": ([INTS], lambda x: mb.reduce_sum(x=x), lambda x: x.sum().int()),
    "reduce_mean": ([A], lambda x: mb.reduce_mean(x=x, axes=[-1], keep_dims=True), lambda x: x.sum(2, keepdim=True) / 4),
    "reduce_max": ([A], lambda x: mb.reduce_max(x=x, axes=[1]), lambda x: x.max(1).values),
    "reduce_min": ([A], lambda x: mb.reduce_min(x=x, axes=[1], keep_dims=True), lambda x: x.min(1, keepdim=True).values),
    "reduce_prod": ([A], lambda x: mb.reduce_prod(x=x, axes=[0, 2]), lambda x: x.prod(2).prod(0)),
    "reduce_sum_square": ([A], lambda x: mb.reduce_sum_square(x=x, axes=[1]), lambda x: (x * x).sum(1)),
    "reduce_l1_norm": ([A], lambda x: mb.reduce_l1_norm(x=x, axes=[1]), lambda x: x.abs().sum(1)),
    "reduce_l2_norm": ([A], lambda x: mb.reduce_l2_norm(x=x, axes=[1]), lambda x: x.norm(dim=1)),
    "reduce_log_sum": ([POSITIVE], lambda x: mb.reduce_log_sum(x=x, axes=[1]), lambda x: x.sum(1).log()),
    "reduce_log_sum_exp": ([A], lambda x: mb.reduce_log_sum_exp(x=x, axes=[1]), lambda x: x.exp().sum(1).log()),
    "reduce_argmax": ([A], lambda x: mb.reduce_argmax(x=x, axis=1), lambda x: x.argmax(1).int()),
    "reduce_argmin": (
        [A], lambda x: mb.reduce_argmin(x=x, axis=-1, keep_dims=True), lambda x: x.argmin(-1, keepdim=True).int(),
    ),
    "argsort": ([A], lambda x: mb.argsort(x=x, axis=1), lambda x: x.argsort(1, descending=True).int()),
    "topk": (
        [A], lambda x: mb.topk(x=x, k=2, axis=-1, ascending=True),
        lambda x: (x.sort(-1).values[..., :2], x.argsort(-1)[..., :2].int()),
    ),
    "cumsum": ([A], lambda x: mb.cumsum(x=x, axis=1), lambda x: x.cumsum(1)),
    "cumsum from the end": (
        [A], lambda x: mb.cumsum(x=x, axis=2, exclusive=True, reverse=True), lambda x: x.flip(2).cumsum(2).flip(2) - x,
    ),
    # moves
    "reshape": ([A], lambda x: mb.reshape(x=x, shape=[4, -1, 2]), lambda x: x.reshape(4, 3, 2)),
    "reshape with 0": ([A], lambda x: mb.reshape(x=x, shape=[1, -1, 0]), lambda x: x.reshape(1, 6, 4)),
    "transpose": ([A], lambda x: mb.transpose(x=x, perm=[2, 0, -2]), lambda x: x.permute(2, 0, 1)),
    "expand_dims": ([A], lambda x: mb.expand_dims(x=x, axes=[0, -1]), lambda x: x[None, ..., None]),
    "squeeze": ([A[:, :1]], lambda x: mb.squeeze(x=x, axes=[-2]), lambda x: x[:, 0]),
    "flatten2d": ([A], lambda x: mb.flatten2d(x=x, axis=-1), lambda x: x.reshape(6, 4)),
    "concat": ([A, B], lambda x, y: mb.concat(values=[x, y], axis=-1), lambda x, y: torch.cat([x, y], 2)),
    "concat of one": ([A], lambda x: mb.concat(values=[x], axis=0), lambda x: x),
    "concat in turn": (
        [A, B], lambda x, y: mb.concat(values=[x, y], axis=1, interleave=True),
        lambda x, y: torch.cat([x[:, :1], y[:, :1], x[:, 1:2], y[:, 1:2], x[:, 2:], y[:, 2:]], 1),
    ),
    "stack": ([A, B], lambda x, y: mb.stack(values=[x, y], axis=1), lambda x, y: torch.stack([x, y], 1)),
    "split": ([A], lambda x: mb.split(x=x, num_splits=2, axis=-1), lambda x: (x[..., :2], x[..., 2:])),
    "split unevenly": (
        [A], lambda x: mb.split(x=x, split_sizes=[1, 2], axis=1), lambda x: (x[:, :1], x[:, 1:]),
    ),
    "slice_by_index": (
        [A], lambda x: mb.slice_by_index(x=x, begin=[0, -2, 3], end=[1, 9, 0], stride=[1, 1, -2]),
        lambda x: x[0:1, -2:][..., [3, 1]],
    ),
    "slice_by_index, masked": (
        [A],
        lambda x: mb.slice_by_index(
            x=x, begin=[1, 2, 1], end=[0, 1, 3], begin_mask=[False, True, False], end_mask=[False, True, False],
            squeeze_mask=[True, False, False],
        ),
        lambda x: x[1, :, 1:3],
    ),
    "slice_by_size": ([A], lambda x: mb.slice_by_size(x=x, begin=[0, 1, 2], size=[2, -1, 1]), lambda x: x[:, 1:, 2:3]),
    "slice_update": (
        [A, B[:, :2, :1]],
        lambda x, y: mb.slice_update(x=x, update=y, begin=[0, 1, 2], end=[2, 3, 3]),
        lambda x, y: torch.cat([x[..., :2], torch.cat([x[:, :1, 2:3], y], 1), x[..., 3:]], 2),
    ),
    "tile": ([A], lambda x: mb.tile(x=x, reps=[1, 2, 3]), lambda x: x.repeat(1, 2, 3)),
    "pad": (
        [A], lambda x: mb.pad(x=x, pad=[1, 0, 2, 3], mode="constant", constant_val=5.0),
        lambda x: functional.pad(x, (2, 3, 1, 0), value=5),
    ),
    "pad, reflect": (
        [PICTURE], lambda x: mb.pad(x=x, pad=[1, 2, 3, 0], mode="reflect"),
        lambda x: functional.pad(x, (3, 0, 1, 2), "reflect"),
    ),
    "pad, replicate": (
        [A], lambda x: mb.pad(x=x, pad=[2, 1], mode="replicate"), lambda x: x[..., [0, 0, 0, 1, 2, 3, 3]],
    ),
    "reverse": ([A], lambda x: mb.reverse(x=x, axes=[0, 2]), lambda x: x.flip(0, 2)),
    "identity": ([A], lambda x: mb.identity(x=x), lambda x: x),
    "gather": (
        [A], lambda x: mb.gather(x=x, indices=np.int32([[2, 0], [1, 1]]), axis=1),
        lambda x: x[:, [2, 0, 1, 1]].reshape(2, 2, 2, 4),
    ),
    "gather of batches": (
        [A, np.array([[2, 0], [1, 1]], np.int32)],
        lambda x, y: mb.gather(x=x, indices=y, axis=1, batch_dims=1),
        lambda x, y: torch.stack([x[0, [2, 0]], x[1, [1, 1]]]),
    ),
    "gather_along_axis": (
        [A, np.array([[[0, 2, 1, 1]], [[2, 2, 0, 1]]], np.int32)],
        lambda x, y: mb.gather_along_axis(x=x, indices=y, axis=1),
        lambda x, y: torch.gather(x, 1, y.long()),
    ),
    "select": ([A > 0, A, B], lambda c, x, y: mb.select(cond=c, a=x, b=y), lambda c, x, y: torch.where(c, x, y)),
    "shape": ([A], lambda x: mb.shape(x=x), lambda x: torch.tensor([2, 3, 4], dtype=torch.int32)),
    "fill": (
        [np.array([2, 3], np.int32)], lambda x: mb.fill(shape=x, value=1.5), lambda x: torch.full((2, 3), 1.5),
    ),
    "fill_like": ([A], lambda x: mb.fill_like(ref_tensor=x, value=2.5), lambda x: torch.full((2, 3, 4), 2.5)),
    "range_1d": (
        [np.array([9], np.int32)],
        lambda x: mb.range_1d(start=2, end=mb.squeeze(x=x), step=3),
        lambda x: torch.tensor([2, 5, 8], dtype=torch.int32),
    ),
    "one_hot": (
        [np.array([2, 0], np.int32)],
        lambda x: mb.one_hot(indices=x, one_hot_vector_size=3, axis=0, on_value=7, off_value=-1),
        lambda x: torch.tensor([[-1, 7], [-1, -1], [7, -1]], dtype=torch.int32),
    ),
    "band_part": ([A], lambda x: mb.band_part(x=x, lower=1, upper=0), lambda x: x.tril(0).triu(-1)),
    # layers
    "linear": (
        [A], lambda x: mb.linear(x=x, weight=KERNEL[:, 0].reshape(9, 4), bias=_floats(9)),
        lambda x: x @ torch.tensor(KERNEL[:, 0].reshape(9, 4)).T + torch.tensor(_floats(9)),
    ),
    "matmul": (
        [A, B], lambda x, y: mb.matmul(x=x, y=y, transpose_x=TRUE), lambda x, y: x.transpose(1, 2) @ y,
    ),
    "matmul, y transposed": (
        [A, B], lambda x, y: mb.matmul(x=x, y=y, transpose_y=TRUE), lambda x, y: torch.einsum("bik,bjk->bij", x, y),
    ),
    "einsum": (
        [_floats(2, 3, 5, 4), _floats(2, 4, 5, 6)],
        lambda x, y: mb.einsum(values=(x, y), equation="nchw,nwhu->nchu"),
        lambda x, y: (x[..., None] * y.transpose(1, 2)[:, None]).sum(3),
    ),
    "scaled_dot_product_attention": (
        [_floats(1, 2, 3, 8), _floats(1, 2, 5, 8, seed=1), _floats(1, 2, 5, 6, seed=2)],
        lambda q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v),
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v),
    ),
    "scaled_dot_product_attention, masked": (
        [_floats(1, 2, 3, 8), _floats(1, 2, 5, 8, seed=1), np.arange(15).reshape(3, 5) % 4 > 0],
        lambda q, k, m: mb.scaled_dot_product_attention(query=q, key=k, value=k, attn_mask=m),
        lambda q, k, m: functional.scaled_dot_product_attention(q, k, k, attn_mask=m),
    ),
    "scaled_dot_product_attention, added": (
        [_floats(1, 2, 3, 8), _floats(1, 2, 5, 8, seed=1), _floats(3, 5)],
        lambda q, k, m: mb.scaled_dot_product_attention(query=q, key=k, value=k, attn_mask=m),
        lambda q, k, m: functional.scaled_dot_product_attention(q, k, k, attn_mask=m),
    ),
    "layer_norm": (
        [A], lambda x: mb.layer_norm(x=x, axes=[-2, -1], gamma=A[0], beta=B[0], epsilon=1e-3),
        lambda x: functional.layer_norm(x, (3, 4), torch.tensor(A[0]), torch.tensor(B[0]), 1e-3),
    ),
    "batch_norm": (
        [PICTURE],
        lambda x: mb.batch_norm(x=x, mean=ROW, variance=ROW**2, gamma=ROW + 1, beta=-ROW, epsilon=1e-3),
        lambda x: (x - _c(ROW)) / (_c(ROW) ** 2 + 1e-3).sqrt() * (_c(ROW) + 1) - _c(ROW),
    ),
    "instance_norm": (
        [PICTURE], lambda x: mb.instance_norm(x=x, gamma=ROW, beta=-ROW, epsilon=1e-3),
        lambda x: functional.group_norm(x, 4, torch.tensor(ROW), torch.tensor(-ROW), 1e-3),
    ),
    "l2_norm": (
        [PICTURE], lambda x: mb.l2_norm(x=x, epsilon=0.1), lambda x: x / ((x * x).sum((1, 2, 3), True) + 0.1).sqrt(),
    ),
    "conv": (
        [PICTURE],
        lambda x: mb.conv(
            x=x, weight=KERNEL, bias=BIAS, strides=[2, 1], pad_type="custom", pad=[1, 0, 2, 1], groups=2
        ),
        lambda x: functional.conv2d(
            functional.pad(x, (2, 1, 1, 0)), torch.tensor(KERNEL), torch.tensor(BIAS), (2, 1), groups=2
        ),
    ),
    "conv, same": (
        [PICTURE],
        lambda x: mb.conv(x=x, weight=KERNEL, strides=[2, 2], pad_type="same", groups=2),
        # 7 x 6 in steps of 2: one row above and one below; the kernel's two columns fit as they are
        lambda x: functional.conv2d(functional.pad(x, (0, 0, 1, 1)), torch.tensor(KERNEL), stride=2, groups=2),
    ),
    "conv, same_lower": (
        [PICTURE],
        lambda x: mb.conv(x=x, weight=KERNEL, strides=[1, 1], pad_type="same_lower", groups=2),
        lambda x: functional.conv2d(functional.pad(x, (1, 0, 1, 1)), torch.tensor(KERNEL), groups=2),
    ),
    "conv, dilated, of one axis": (
        [SERIES], lambda x: mb.conv(x=x, weight=KERNEL[:, :, :, 0].repeat(2, 1), dilations=[2], pad_type="valid"),
        lambda x: functional.conv1d(x, torch.tensor(KERNEL[:, :, :, 0].repeat(2, 1)), dilation=2),
    ),
    "conv_transpose": (
        [PICTURE],
        lambda x: mb.conv_transpose(x=x, weight=KERNEL[:4], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: functional.conv_transpose2d(x, torch.tensor(KERNEL[:4]), stride=2, padding=1),
    ),
    "avg_pool": (
        [PICTURE], lambda x: mb.avg_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"),
        lambda x: (x[..., :6:2, ::2] + x[..., 1:6:2, ::2] + x[..., :6:2, 1::2] + x[..., 1:6:2, 1::2]) / 4,
    ),
    "avg_pool, padded": (
        [PICTURE],
        lambda x: mb.avg_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: functional.avg_pool2d(x, 3, 2, 1),
    ),
    "avg_pool, padding excluded": (
        [PICTURE],
        lambda x: mb.avg_pool(
            x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1],
            exclude_padding_from_average=TRUE,
        ),
        lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    ),
    "avg_pool, ceil": (
        [PICTURE],
        lambda x: mb.avg_pool(
            x=x, kernel_sizes=[2, 3], strides=[2, 2], pad_type="custom", pad=[0, 0, 1, 1], ceil_mode=TRUE
        ),
        lambda x: functional.avg_pool2d(x, (2, 3), 2, (0, 1), ceil_mode=True),
    ),
    "max_pool": (
        [PICTURE - 9],
        lambda x: mb.max_pool(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="custom", pad=[1, 1, 1, 1]),
        lambda x: functional.max_pool2d(x, 3, 2, 1),
    ),
    "max_pool, ceil, of one axis": (
        [SERIES],
        lambda x: mb.max_pool(x=x, kernel_sizes=[2], strides=[2], pad_type="valid", ceil_mode=TRUE),
        lambda x: functional.max_pool1d(x, 2, 2, ceil_mode=True),
    ),
}  # fmt: skip


def _c(values: np.ndarray) -> Tensor:
    return torch.tensor(values)[:, None, None]


@pytest.mark.parametrize("case", CASES)
def test_an_operation_computes_what_mil_says(tmp_path: Path, case: str) -> None:
    inputs, body, expected = CASES[case]
    program = Program.open(save(tmp_path / "op.mlpackage", build(inputs, body)), "fp32")
    kind = case.split(",")[0].split(" ")[0]
    assert kind in program.function().signature.counts()
    wanted = expected(*(torch.tensor(each) for each in inputs))
    got = outputs_of(program, inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert len(got) == len(wanted)
    for ours, theirs in zip(got, wanted, strict=True):
        # The converter gives booleans out as fp32.
        theirs = theirs.float() if theirs.dtype == torch.bool else theirs
        torch.testing.assert_close(torch.tensor(ours), theirs)


def test_every_operation_is_tested() -> None:
    tested = {case.split(",")[0].split(" ")[0] for case in CASES}
    # read_state and write_state are in test_run.py
    assert set(OPS) - tested == {"read_state", "write_state"}
