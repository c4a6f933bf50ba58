"""Building blocks of both Core ML programs: shared constants, quantized linears, norms, parts of attention.

Programs are built operator by operator, not traced: nothing is lost in a conversion, no pass copies weights, and every tensor is
written from the model's own array. Letters: T tokens, D width, H heads, G key/value heads, K head width.
"""

from __future__ import annotations

from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from torch import Tensor, nn

from mobilevlm_export.dependencies.torchao_private import has_zero_points, integers, is_int4, is_quantized, scales
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.model.mobilellama import RMSNorm

TARGET = ct.target.iOS18  # the first with states, int4 blocks and multiple functions
MIL_TYPES = {"fp16": types.fp16, "fp32": types.fp32}
NUMPY_TYPES = {"fp16": np.float16, "fp32": np.float32}


def compute_type(scheme: str) -> str:
    """The type that a part computes in: float32 if its recipe's ``scheme`` is fp32, else float16."""
    return "fp32" if scheme == "fp32" else "fp16"


class Constants:
    """The arrays of one program. Constants of the same name share one array here and one blob in the file."""

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}

    def floats(self, name: str, value: Tensor, dtype: str) -> Any:
        """``value`` as the constant ``name`` in ``dtype``.

        Raises:
            LoweringError: a value doesn't fit float16.
        """
        if name not in self._arrays:
            narrow = value.detach().to(torch.float16 if dtype == "fp16" else torch.float32)
            if not bool(torch.isfinite(narrow).all()):
                largest = float(value.abs().max())
                raise LoweringError(f"{name}: got values up to {largest:.3g}, expected at most float16's 65504")
            self._arrays[name] = narrow.numpy()
        return self._constant(name)

    def weight(self, name: str, weight: Any, dtype: str) -> Any:
        """The weight [N, K] of a linear: float in ``dtype``, or int8 or int4 with one scale per row or group of columns.

        Raises:
            LoweringError: a scale or value doesn't fit float16.
        """
        if not is_quantized(weight):
            return self.floats(name, weight, dtype)
        if f"{name}_data" not in self._arrays:
            if has_zero_points(weight):
                raise LoweringError(f"{name}: got zero points, expected symmetric quantization")
            data = integers(weight).numpy()
            self._arrays[f"{name}_data"] = data.view(types.np_int4_dtype) if is_int4(weight) else data
        return mb.constexpr_blockwise_shift_scale(
            data=self._constant(f"{name}_data"),
            scale=self.floats(f"{name}_scale", scales(weight).reshape(weight.shape[0], -1), dtype),
            name=name,
        )

    def _constant(self, name: str) -> Any:
        constant = mb.const(val=self._arrays[name], name=name)
        constant.op.weight_id = name
        return constant


def cast(x: Any, dtype: str) -> Any:
    """``x`` in ``dtype``; adds no operator if it has that type."""
    return x if x.dtype == MIL_TYPES[dtype] else mb.cast(x=x, dtype=dtype)


def dtype_of(x: Any) -> str:
    """``fp16`` or ``fp32``."""
    return "fp32" if x.dtype == types.fp32 else "fp16"


def linear(constants: Constants, x: Any, module: nn.Linear, name: str) -> Any:
    """Apply ``module`` to ``x`` [1, T, D]."""
    dtype = dtype_of(x)
    bias = {} if module.bias is None else {"bias": constants.floats(f"{name}_bias", module.bias, dtype)}
    return mb.linear(x=x, weight=constants.weight(f"{name}_weight", module.weight, dtype), name=name, **bias)


def rms_norm(constants: Constants, x: Any, norm: RMSNorm, name: str) -> Any:
    """Apply ``norm`` to ``x`` [1, T, D], with the mean in float32: squares of the largest activations overflow float16."""
    dtype, wide = dtype_of(x), cast(x, "fp32")
    mean = mb.reduce_mean(x=mb.mul(x=wide, y=wide), axes=[-1], keep_dims=True)
    normed = cast(mb.mul(x=wide, y=mb.rsqrt(x=mean, epsilon=np.float32(norm.eps))), dtype)
    return mb.mul(x=normed, y=constants.floats(f"{name}_weight", norm.weight, dtype), name=name)


def layer_norm(constants: Constants, x: Any, norm: nn.LayerNorm, name: str) -> Any:
    """Apply ``norm`` to ``x`` [1, T, D]."""
    dtype = dtype_of(x)
    return mb.layer_norm(
        x=x,
        axes=[-1],
        gamma=constants.floats(f"{name}_weight", norm.weight, dtype),
        beta=constants.floats(f"{name}_bias", norm.bias, dtype),
        epsilon=NUMPY_TYPES[dtype](norm.eps),
        name=name,
    )


def split_heads(x: Any, heads: int) -> Any:
    """[1, T, H * K] → [1, H, T, K]."""
    _, tokens, width = x.shape
    return mb.transpose(x=mb.reshape(x=x, shape=[1, tokens, heads, width // heads]), perm=[0, 2, 1, 3])


def join_heads(x: Any) -> Any:
    """[1, H, T, K] → [1, T, H * K]."""
    _, heads, tokens, width = x.shape
    return mb.reshape(x=mb.transpose(x=x, perm=[0, 2, 1, 3]), shape=[1, tokens, heads * width])
