"""The integers and scales inside torchao's quantized weights, which its tensors don't offer by a public name.

Seen in torchao 0.18: ``qdata`` holds the integers, one a value also for int4; ``scale`` and ``zero_point`` belong to them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SEEN_IN = "0.18"
INT4: torch.dtype = getattr(torch, "int4")  # noqa: B009  missing from torch's type stubs


def is_quantized(weight: Tensor) -> bool:
    """Whether ``weight`` is one of torchao's tensors of integers and scales."""
    return hasattr(weight, "qdata")


def is_int4(weight: Any) -> bool:
    """Whether the quantized ``weight`` has four bits an integer, otherwise eight."""
    return bool(weight.target_dtype == INT4)


def integers(weight: Any) -> Tensor:
    """Int8 [N, K]: the integers of the quantized ``weight``. Writing to them changes it."""
    return weight.qdata


def scales(weight: Any) -> Tensor:
    """The scales of the quantized ``weight``, one a row or a group of columns."""
    return weight.scale


def has_zero_points(weight: Any) -> bool:
    """Whether any zero point of the quantized ``weight`` isn't zero."""
    return bool(weight.zero_point.any())
