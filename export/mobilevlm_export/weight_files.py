"""Open a checkpoint's weight files, whatever their form, as named tensors that stay on disk until they are read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mobilevlm_export.errors import CheckpointError

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")


class Weights:
    """Named tensors of a folder; ``read`` loads one. ``form`` and ``files`` say what they are read from."""

    def __init__(self, form: str, files: list[Path], readers: Mapping[str, Callable[[], Tensor]]) -> None:
        self.form, self.files, self._readers = form, files, readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __contains__(self, key: object) -> bool:
        return key in self._readers

    def read(self, key: str) -> Tensor:
        """The tensor ``key``, mapped from its file where the form allows it."""
        return self._readers[key]()


def open_weights(folder: Path) -> Weights:
    """Find and open the weights in ``folder``: an index's shards first, then a single file; safetensors before bin.

    Raises:
        CheckpointError: there are none, a shard is missing, or a file is damaged or holds code.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder, expected a checkpoint in the published layout")
    for name in _INDEXES:
        if (folder / name).is_file():
            return _open_sharded(folder, folder / name)
    for name in _SINGLES:
        if (folder / name).is_file():
            path = folder / name
            return Weights(_form(path), [path], _readers(path))
    expected = ", ".join((*_SINGLES, *_INDEXES))
    raise CheckpointError(f"{folder}: got no weights, expected one of {expected}")


def _open_sharded(folder: Path, index: Path) -> Weights:
    try:
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({str(shard) for shard in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{index}: got a malformed index, expected an object with weight_map") from None
    readers: dict[str, Callable[[], Tensor]] = {}
    for shard in shards:
        path = folder / shard
        if path.parent != folder or not path.is_file():
            raise CheckpointError(f"{path}: no such file, expected the shard that {index.name} names")
        readers |= _readers(path)
    absent = [key for key in places if key not in readers]
    if absent:
        raise CheckpointError(f"{index}: names {absent[0]} (and {len(absent) - 1} more) that no shard holds")
    return Weights(f"sharded {_form(folder / shards[0])}", [folder / shard for shard in shards], readers)


def _form(path: Path) -> str:
    return "safetensors" if path.suffix == ".safetensors" else "bin"


def _readers(path: Path) -> dict[str, Callable[[], Tensor]]:
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path}: got an empty file, expected weights")
    return _safetensors(path) if _form(path) == "safetensors" else _bin(path)


def _safetensors(path: Path) -> dict[str, Callable[[], Tensor]]:
    try:
        opened = safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: got a damaged file ({error}), expected safetensors") from None

    def reader(key: str) -> Callable[[], Tensor]:
        # A mapping of its own, which goes with the tensor: pages of one that stayed would count as memory to the end.
        return lambda: safe_open(str(path), framework="pt").get_tensor(key)

    return {key: reader(key) for key in opened.keys()}  # noqa: SIM118  safe_open isn't a mapping


def _bin(path: Path) -> dict[str, Callable[[], Tensor]]:
    """``weights_only`` refuses anything but tensors: a pickle can hold code, and none of it may run."""
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # torch's form before 1.6
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: got a pickle that isn't plain weights; refused, because it could run code"
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: got a damaged file ({reason}), expected PyTorch weights") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path}: got {type(loaded).__name__}, expected named tensors")

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor

    return {str(key): reader(tensor) for key, tensor in loaded.items()}
