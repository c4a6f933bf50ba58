"""LDPv2 after its two linears, for patch grids that llama.cpp's own LDPv2 doesn't support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray

from mobilevlm_host.bench.peer.gguf_projectors import PEG


class PoolAndPeg:
    """Pooling and the convolution of a projector file that leaves them to its reader: a few thousand operations per channel."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self._weight, self._bias = weight, bias  # [D, 3, 3], [D]

    @classmethod
    def of(cls, file: Path) -> PoolAndPeg | None:
        """The instance for a projector file of type ``mlp`` with the convolution's weights; None if llama.cpp computes all itself."""
        reader = GGUFReader(file)
        field = reader.get_field("clip.projector_type")
        tensors = {tensor.name: tensor.data for tensor in reader.tensors if tensor.name.startswith(PEG)}
        if field is None or field.contents() != "mlp" or not tensors:
            return None
        weight, bias = (np.asarray(tensors[f"{PEG}.{kind}"], dtype=np.float32) for kind in ("weight", "bias"))
        return cls(weight.reshape(len(bias), 3, 3), bias)

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """[P, D] → [P / 4, D]: the mean of 2 × 2 patches, plus its 3 × 3 depthwise convolution."""
        side, width = int(len(patches) ** 0.5) // 2, patches.shape[1]
        pooled = patches.reshape(side, 2, side, 2, width).mean((1, 3))
        padded = np.pad(pooled, ((1, 1), (1, 1), (0, 0)))
        moved = sum(
            padded[row : row + side, column : column + side] * self._weight[:, row, column]
            for row in range(3)
            for column in range(3)
        )
        mixed: NDArray[np.float32] = (pooled + moved + self._bias).astype(np.float32)
        return mixed.reshape(-1, width)
