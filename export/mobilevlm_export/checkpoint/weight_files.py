"""Open a checkpoint's weight files, in any supported form, as named tensors that stay on disk until they are read."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mobilevlm_export.checkpoint.key_map import published_spelling
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.plain_zip import ZIP_FAULTS
from mobilevlm_export.files.strict_json import JsonError, read_json
from mobilevlm_export.files.wrong_file import not_the_file
from mobilevlm_export.progress import Progress, silent

INDEX = ".index.json"
_LONGEST_NAME = 255  # bytes, the limit of file systems
# In the order in which transformers looks for them: a single file before an index, safetensors before bin.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


class Weights:
    """Named tensors in a folder; ``read`` loads one. ``form`` and ``files`` are what they are read from."""

    def __init__(self, form: str, files: list[Path], readers: Mapping[str, Callable[[], Tensor]]) -> None:
        self.form, self.files, self._readers = form, files, readers

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __contains__(self, key: object) -> bool:
        return key in self._readers

    def read(self, key: str) -> Tensor:
        """The tensor ``key``, mapped from its file where the form allows it.

        Raises:
            CheckpointError: it is sparse, has no values, or is of a type that torch doesn't support.
        """
        try:
            tensor = self._readers[key]()
        except (SafetensorError, OSError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.files[0].parent}: {key}: can't be read ({str(error).splitlines()[0]})"
            ) from None
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            kind = f"{tensor.layout}".removeprefix("torch.") if tensor.layout != torch.strided else tensor.device.type
            raise CheckpointError(f"{self.files[0].parent}: {key}: got a {kind} tensor, expected a dense one")
        return tensor

    def verify(self, progress: Progress = silent) -> None:
        """Check files that contain checksums: PyTorch's zips, whose values torch maps without verifying them.

        Raises:
            CheckpointError: a file is damaged.
        """
        for index, file in enumerate(self.files):
            progress("checking weight files", index, len(self.files))
            if _form(file) == "bin":
                _require_crcs(file)
        progress("checking weight files", len(self.files), len(self.files))


def chosen_weights(names: Container[str]) -> str | None:
    """The file among ``names`` to read weights from: a single file or an index; None if there is none."""
    return next((name for name in WEIGHT_FILES if name in names), None)


def shards(index: Path) -> list[str]:
    """The files that ``index`` names, each once.

    Raises:
        CheckpointError: it is malformed, or names a file in another folder.
    """
    return sorted(set(_shard_by_weight(index).values()))


def open_weights(folder: Path) -> Weights:
    """Open the weights in ``folder`` under their published names (:func:`published_spelling`).

    Raises:
        CheckpointError: there are none, a shard is missing, or a file is damaged or contains code.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder, expected a checkpoint in the published layout")
    name = chosen_weights({file.name for file in folder.iterdir() if file.is_file()})
    if name is None:
        raise CheckpointError(f"{folder}: got no weights, expected one of {', '.join(WEIGHT_FILES)}")
    path, form = folder / name, _form(Path(name.removesuffix(INDEX)))
    if name.endswith(INDEX):
        form, files, readers = f"sharded {form}", *_open_sharded(path)
    else:
        files, readers = [path], _readers(path)
    return Weights(form, files, {key: readers[spelled] for key, spelled in published_spelling(readers).items()})


def _shard_by_weight(index: Path) -> dict[str, str]:
    """Weight → the file that contains it."""
    _require_the_file(index, "the names of shards")
    try:
        places = {_named(key): _named(shard) for key, shard in read_json(index)["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        got = error if isinstance(error, JsonError) else "a malformed index"
        raise CheckpointError(f"{index}: got {got}, expected an object with weight_map") from None
    if not places:
        raise CheckpointError(f"{index}: got an empty weight_map, expected the shard of each tensor")
    for shard in places.values():
        if Path(shard).name != shard:
            raise CheckpointError(f"{index}: got the shard {shard!r:.80}, expected a file next to the index")
    return places


def _open_sharded(index: Path) -> tuple[list[Path], dict[str, Callable[[], Tensor]]]:
    places = _shard_by_weight(index)
    readers: dict[str, Callable[[], Tensor]] = {}
    files = [index.parent / shard for shard in shards(index)]
    for path in files:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file, expected the shard that {index.name} names")
        readers |= _readers(path)
    absent = [key for key in places if key not in readers]
    if absent:
        raise CheckpointError(
            f"{index}: got {absent[0]!r:.80} (and {len(absent) - 1} more), missing in the shard named for it"
        )
    return files, readers


def _require_the_file(path: Path, expected: str) -> None:
    if got := not_the_file(path):
        raise CheckpointError(f"{path}: got {got}, expected {expected}")


def _named(name: Any) -> str:
    if not isinstance(name, str) or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise TypeError
    return name


def _form(path: Path) -> str:
    return "safetensors" if path.suffix == ".safetensors" else "bin"


def _readers(path: Path) -> dict[str, Callable[[], Tensor]]:
    _require_the_file(path, "weights")
    return _safetensors(path) if _form(path) == "safetensors" else _bin(path)


def _safetensors(path: Path) -> dict[str, Callable[[], Tensor]]:
    try:
        opened = safe_open(str(path), framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: got a damaged file ({error}), expected safetensors") from None

    def reader(key: str) -> Callable[[], Tensor]:
        # Each tensor gets its own mapping, released with it: the pages of a shared mapping would stay in memory to the end.
        return lambda: safe_open(str(path), framework="pt").get_tensor(key)

    return {key: reader(key) for key in opened.keys()}  # noqa: SIM118  safe_open isn't a mapping


def _bin(path: Path) -> dict[str, Callable[[], Tensor]]:
    """Readers for a PyTorch file. ``weights_only`` accepts tensors only: a pickle can contain code, which must not run."""
    try:
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap can only be used" not in str(error):
                raise
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # torch's form before 1.6
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: got a pickle with more than weights, expected tensors only; refused, because it could run code"
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: got a damaged file ({reason}), expected PyTorch weights") from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path}: got {type(loaded).__name__}, expected named tensors")

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor

    return {str(key): reader(tensor) for key, tensor in loaded.items()}


def _require_crcs(path: Path) -> None:
    damaged: list[str] = []
    try:
        if not zipfile.is_zipfile(path):
            return  # torch's form before 1.6
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in names:
                try:
                    with archive.open(name) as member:
                        while member.read(1 << 20):
                            pass
                except zipfile.BadZipFile:
                    damaged.append(name)
    except ZIP_FAULTS as error:
        raise CheckpointError(f"{path}: got a damaged file ({error}), expected PyTorch weights") from None
    # torch can be configured to write no checksums; then all of them are wrong.
    if damaged and len(damaged) < len(names):
        raise CheckpointError(
            f"{path}: {damaged[0]}: got a wrong CRC-32, expected the one in the archive: the file is damaged"
        )
