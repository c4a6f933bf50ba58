"""A token table round-trips; a damaged one is a one-line error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower.token_table import read_token_table


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "got no tensors, expected weight"),
        ({"weight": torch.ones(4, 8, dtype=torch.float16)}, r"got weight float16 \[4, 8\], expected weight, and scale"),
        (
            {"weight": torch.ones(4, 8), "scale": torch.ones(4, 1)},
            r"got scale float32 \[4, 1\], weight float32 .*, expected weight, and",
        ),
        ({"weight": torch.ones(4, 8, dtype=torch.int8)}, "expected weight, and scale"),
        (
            {"weight": torch.ones(4, 8, dtype=torch.int8), "scale": torch.ones(4, 3)},
            r"got weight \[4, 8\] and scale \[4, 3\]",
        ),
        (
            {"weight": torch.ones(4, 8, dtype=torch.int8), "scale": torch.ones(5, 1)},
            r"got weight \[4, 8\] and scale \[5, 1\]",
        ),
    ],
)
def test_an_invalid_table_is_named(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    path = tmp_path / "token_embedding.safetensors"
    save_file(tensors, path)
    with pytest.raises(LoweringError, match=message) as caught:
        read_token_table(path)
    assert str(path) in str(caught.value)


def test_damaged_bytes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "token_embedding.safetensors"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(LoweringError, match="got a damaged file"):
        read_token_table(path)
