"""Elementwise operations, with numpy's broadcasting, and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def _floor_div(x: Tensor, y: Tensor) -> Tensor:
    return torch.div(x, y, rounding_mode="floor")


def _clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return x.clamp(float(alpha), float(beta))


def _inverse(x: Tensor, epsilon: Tensor | float = 1e-4) -> Tensor:
    return 1 / (x + epsilon)


def _log(x: Tensor, epsilon: Tensor | float = 1e-45) -> Tensor:
    return (x + epsilon).log()


def _rsqrt(x: Tensor, epsilon: Tensor | float = 1e-12) -> Tensor:
    return (x + epsilon).rsqrt()


def _threshold(x: Tensor, alpha: Tensor) -> Tensor:
    return x.maximum(alpha)


def _cast(x: Tensor, dtype: str) -> Tensor:
    """Truncate floats for an integer ``dtype``; the conversion itself is to the declared type, which is the same."""
    if dtype == "bool":
        return x != 0
    return x.trunc() if x.is_floating_point() and not dtype.startswith(("fp", "bf")) else x


def _gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * (1.702 * x).sigmoid()
    return functional.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def _clamped_relu(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return functional.leaky_relu(x, float(alpha)).clamp(max=float(beta))


def _elu(x: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
    return functional.elu(x, float(alpha))


def _leaky_relu(x: Tensor, alpha: Tensor | float = 0.01) -> Tensor:
    return functional.leaky_relu(x, float(alpha))


def _linear_activation(x: Tensor, alpha: Tensor, beta: Tensor | float = 0.0) -> Tensor:
    return alpha * x + beta


def _prelu(x: Tensor, alpha: Tensor) -> Tensor:
    return functional.prelu(x, alpha)


def _scaled_tanh(x: Tensor, alpha: Tensor | float = 1.0, beta: Tensor | float = 1.0) -> Tensor:
    return alpha * (x * beta).tanh()


def _sigmoid_hard(x: Tensor, alpha: Tensor | float = 0.2, beta: Tensor | float = 0.5) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def _thresholded_relu(x: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
    return torch.where(x >= alpha, x, torch.zeros(()))


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor) -> Tensor:
        return function(x)

    return call


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return call


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs, "acos": torch.acos, "asin": torch.asin, "atan": torch.atan, "atanh": torch.atanh, "ceil": torch.ceil,
    "cos": torch.cos, "cosh": torch.cosh, "erf": torch.erf, "exp": torch.exp, "exp2": torch.exp2, "floor": torch.floor,
    "logical_not": torch.logical_not, "round": torch.round, "sign": torch.sign, "sin": torch.sin, "sinh": torch.sinh,
    "sqrt": torch.sqrt, "square": torch.square, "tan": torch.tan, "tanh": torch.tanh,
    "relu": torch.relu, "relu6": lambda x: x.clamp(0, 6), "sigmoid": torch.sigmoid, "silu": functional.silu,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros(())), "softsign": functional.softsign,
}  # fmt: skip
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "real_div": torch.div, "floor_div": _floor_div,
    "mod": torch.remainder, "pow": torch.pow, "maximum": torch.maximum, "minimum": torch.minimum,
    "equal": torch.eq, "not_equal": torch.ne, "greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt, "less_equal": torch.le,
    "logical_and": torch.logical_and, "logical_or": torch.logical_or, "logical_xor": torch.logical_xor,
}  # fmt: skip

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    "cast": _cast,
    "clamped_relu": _clamped_relu,
    "clip": _clip,
    "elu": _elu,
    "gelu": _gelu,
    "inverse": _inverse,
    "leaky_relu": _leaky_relu,
    "linear_activation": _linear_activation,
    "log": _log,
    "prelu": _prelu,
    "rsqrt": _rsqrt,
    "scaled_tanh": _scaled_tanh,
    "sigmoid_hard": _sigmoid_hard,
    "threshold": _threshold,
    "thresholded_relu": _thresholded_relu,
}
