"""The token embedding as a table in a safetensors file, for apps that look up its rows themselves.

Tensors by the recipe's ``embedding`` (V pieces, D width):

- ``fp32``: ``weight`` float32 [V, D];
- ``int8``: ``weight`` int8 [V, D] and ``scale`` float32 [V, 1];
- ``int4``: ``weight`` uint8 [V, D / 2], two values per byte, the even column in the low four bits, each 0 … 15 for -8 … 7, and
  ``scale`` float32 [V, D / 32].

A row is weight × scale, where each group of columns has one scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mobilevlm_export.dependencies.torchao_private import integers, is_int4, is_quantized, scales
from mobilevlm_export.errors import LoweringError


def write_token_table(embedding: nn.Embedding, path: Path) -> str:
    """Write the table of ``embedding`` to ``path``; returns its form: ``fp32``, ``int8`` or ``int4``.

    Raises:
        LoweringError: the file can't be written.
    """
    weight: Any = embedding.weight
    tensors: dict[str, Tensor]
    if not is_quantized(weight):
        form, tensors = "fp32", {"weight": weight.detach().float().contiguous()}
    else:
        form, data = "int8", integers(weight)
        if is_int4(weight):
            form, nibbles = "int4", (data + 8).to(torch.uint8)
            data = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
        scale = scales(weight).detach().float().reshape(data.shape[0], -1)
        tensors = {"weight": data.contiguous(), "scale": scale.contiguous()}
    try:
        save_file(tensors, path, metadata={"form": form})
    except OSError as error:
        raise LoweringError(f"{path}: can't be written: {error.strerror}") from error
    except SafetensorError as error:
        raise LoweringError(f"{path}: can't be written: {error}") from error
    return form


def read_token_table(path: Path) -> Tensor:
    """The whole table in ``path`` as float32 [V, D].

    Raises:
        LoweringError: the file is damaged or isn't such a table.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise LoweringError(
            f"{path}: got a damaged file ({str(error).splitlines()[0]}), expected a token table"
        ) from None
    got = {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()}
    if got == {"weight": (torch.float32, 2)}:
        return tensors["weight"]
    scaled = got.get("weight") in ((torch.int8, 2), (torch.uint8, 2)) and got.get("scale") == (torch.float32, 2)
    if len(got) != 2 or not scaled:
        found = ", ".join(
            f"{name} {tensor.dtype} {list(tensor.shape)}".replace("torch.", "") for name, tensor in tensors.items()
        )
        raise LoweringError(
            f"{path}: got {found or 'no tensors':.120}, expected weight, and scale if it is int8 or int4"
        )
    weight, scale = tensors["weight"], tensors["scale"]
    if weight.dtype == torch.uint8:
        weight = torch.stack([weight & 15, weight >> 4], dim=-1).flatten(1).to(torch.int8) - 8
    if len(weight) != len(scale) or not scale.shape[1] or weight.shape[1] % scale.shape[1]:
        raise LoweringError(
            f"{path}: got weight {list(weight.shape)} and scale {list(scale.shape)}, expected one scale per group of columns"
        )
    return (weight.float().unflatten(1, (scale.shape[1], -1)) * scale[..., None]).flatten(1)
