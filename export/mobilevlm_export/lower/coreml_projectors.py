"""Each projector in Core ML's operators, and what a saved program must contain of it.

Letters: P patches, D width, G grid side.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from coremltools.converters.mil.mil import Builder as mb
from torch import nn

from mobilevlm_export.lower.coreml_layers import NUMPY_TYPES, Constants, dtype_of, layer_norm, linear
from mobilevlm_export.model.ldp import LDP, InvertedResidual
from mobilevlm_export.model.ldpv2 import LDPv2
from mobilevlm_export.model.projector import Projector

_OPERATORS = {
    LDPv2: {"conv": 1, "gelu": 1, "avg_pool": 1},
    LDP: {"conv": 2, "gelu": 1, "layer_norm": 4, "sigmoid_hard": 4, "reduce_mean": 2, "relu": 2},
}


def project(constants: Constants, features: Any, projector: Projector) -> Any:
    """Image embeddings [1, image tokens, D] of ``features`` [1, P, vision D]."""
    if isinstance(projector, LDPv2):
        return _ldpv2(constants, features, projector)
    if isinstance(projector, LDP):
        return _ldp(constants, features, projector)
    x = features
    for index, layer in enumerate(projector.linears):
        assert isinstance(layer, nn.Linear)
        x = mb.gelu(x=x, mode="EXACT") if index else x
        x = linear(constants, x, layer, f"projector_linears_{index}")
    return x


def projector_operators(projector: Projector) -> Counter[str]:
    """The number of operators that :func:`project` adds, without linears and what only moves values."""
    if isinstance(projector, LDPv2 | LDP):
        return Counter(_OPERATORS[type(projector)])
    return Counter(gelu=len(projector.linears) - 1)


def _ldpv2(constants: Constants, features: Any, projector: LDPv2) -> Any:
    """Image embeddings [1, P / 4, D] of ``features`` [1, P, vision D]: the paper's three steps."""
    x = mb.gelu(x=linear(constants, features, projector.fc1, "projector_fc1"), mode="EXACT")
    x = linear(constants, x, projector.fc2, "projector_fc2")  # feature transformation
    x = _to_grid(x)
    x = mb.avg_pool(x=x, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid")  # token reduction
    x = mb.add(x=x, y=_depthwise(constants, x, projector.peg, "projector_peg"))  # positional information enhancement
    return _to_tokens(x)


def _ldp(constants: Constants, features: Any, projector: LDP) -> Any:
    """Image embeddings [1, P / 4, D] of ``features`` [1, P, vision D]."""
    x = mb.gelu(x=linear(constants, features, projector.fc1, "projector_fc1"), mode="EXACT")
    x = linear(constants, x, projector.fc2, "projector_fc2")
    x = _inverted_residual(constants, x, projector.mix, "projector_mix")
    return _inverted_residual(constants, x, projector.reduce, "projector_reduce")


def _inverted_residual(constants: Constants, x: Any, block: InvertedResidual, name: str) -> Any:
    mixed = _to_tokens(_depthwise(constants, _to_grid(x), block.depthwise, f"{name}_depthwise"))
    mixed = layer_norm(constants, mixed, block.norm1, f"{name}_norm1")
    mixed = mb.mul(x=mixed, y=_hard_sigmoid(mixed))  # hard swish
    means = mb.reduce_mean(x=mixed, axes=[1], keep_dims=True)  # [1, 1, D]
    hidden = mb.relu(x=linear(constants, means, block.excite.fc1, f"{name}_excite_fc1"))
    gates = _hard_sigmoid(linear(constants, hidden, block.excite.fc2, f"{name}_excite_fc2"))
    mixed = linear(constants, mb.mul(x=mixed, y=gates), block.project, f"{name}_project")
    mixed = layer_norm(constants, mixed, block.norm2, f"{name}_norm2")
    return mb.add(x=mixed, y=x) if block.stride == 1 else mixed


def _hard_sigmoid(x: Any) -> Any:
    """``x`` / 6 + 1/2 between 0 and 1."""
    kind = NUMPY_TYPES[dtype_of(x)]
    return mb.sigmoid_hard(x=x, alpha=kind(1 / 6), beta=kind(0.5))


def _depthwise(constants: Constants, x: Any, convolution: nn.Conv2d, name: str) -> Any:
    """Apply ``convolution``, 3 × 3 and padded by one, to ``x`` [1, D, G, G]."""
    dtype = dtype_of(x)
    bias = {} if convolution.bias is None else {"bias": constants.floats(f"{name}_bias", convolution.bias, dtype)}
    return mb.conv(
        x=x,
        weight=constants.floats(f"{name}_weight", convolution.weight, dtype),
        strides=list(convolution.stride),
        pad_type="custom",
        pad=[1, 1, 1, 1],
        groups=convolution.groups,
        **bias,
    )


def _to_grid(x: Any) -> Any:
    """[1, P, D] → [1, D, G, G]."""
    _, patches, width = x.shape
    side = math.isqrt(patches)
    return mb.reshape(x=mb.transpose(x=x, perm=[0, 2, 1]), shape=[1, width, side, side])


def _to_tokens(x: Any) -> Any:
    """[1, D, G, G] → [1, P, D]."""
    _, width, *sides = x.shape
    return mb.transpose(x=mb.reshape(x=x, shape=[1, width, math.prod(sides)]), perm=[0, 2, 1])
