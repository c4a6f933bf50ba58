"""LDPv2 after its two linears, for patch grids that llama.cpp's own LDPv2 doesn't support."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray


class PoolAndPeg:
    """Pooling and the convolution of a projector file that leaves them to its reader: a few thousand operations per channel."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self._weight, self._bias = weight, bias  # [D, 3, 3], [D]

    @classmethod
    def of(cls, file: Path) -> PoolAndPeg | None:
        """The instance for a projector file of type ``mlp``; None if llama.cpp computes LDPv2 itself."""
        reader = GGUFReader(file)
        field = reader.get_field("clip.projector_type")
        if field is None or field.contents() != "mlp":
            return None
        tensors = {tensor.name: np.asarray(tensor.data, dtype=np.float32) for tensor in reader.tensors}
        weight, bias = tensors["mm.model.peg.0.weight"], tensors["mm.model.peg.0.bias"]
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
