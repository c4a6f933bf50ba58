"""Keep calibrated weights while an export runs, so that one that was interrupted continues when it is repeated.

The integers of each linear are in a file of the kit's cache, with a hash of them and of what they were rounded from; a file that is
damaged, or of other weights, is ignored. An export that ends well removes its files, and those that nobody came back for.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.files.cache import cache_folder

_DAYS_KEPT = 14
_HASH, _PACKED = "sha256", "packed"


class KeptRounding:
    """Integers of linears by their path, in the files of ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reused = self.kept = 0

    def integers(self, path: str, weight: Tensor, scales: Tensor, rounded: Callable[[], Tensor]) -> Tensor:
        """Int8 [N, K] of -8 … 7 for the linear at ``path``: those that are kept for ``weight`` float32 [N, K] and ``scales``, or
        else ``rounded()``, which are kept from now on.
        """
        file = self.folder / f"{path}.safetensors"
        found = _read(file, weight, scales)
        if found is None:
            found = rounded()
            self._keep(file, _packed(found), weight, scales)
        else:
            self.reused += 1
        return found

    def remove(self) -> None:
        """Remove the files, and those of exports that were given up."""
        shutil.rmtree(self.folder, ignore_errors=True)
        oldest = time.time() - _DAYS_KEPT * 24 * 3600
        with suppress(OSError):
            for folder in self.folder.parent.iterdir():
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, file: Path, packed: Tensor, weight: Tensor, scales: Tensor) -> None:
        with suppress(OSError, OutputError), atomic_file(file) as beside:  # an export that can't be resumed still ends
            save_file({_PACKED: packed}, beside, {_HASH: _hash(packed, weight, scales)})
            self.kept += 1


@contextmanager
def kept_rounding(*subjects: str) -> Iterator[KeptRounding]:
    """The kept integers of the export that ``subjects`` identify; removed at the end, unless it was interrupted or failed."""
    name = hashlib.sha256("\n".join(subjects).encode()).hexdigest()[:32]
    rounding = KeptRounding(cache_folder("calibration") / name)
    try:
        yield rounding
    except (KeyboardInterrupt, SystemExit) as stop:
        if count := rounding.kept + rounding.reused:
            stop.add_note(
                f"Interrupted: {count} calibrated weights are kept, and the same command continues from them."
            )
        raise
    rounding.remove()


def _read(file: Path, weight: Tensor, scales: Tensor) -> Tensor | None:
    try:
        with safe_open(file, "pt") as opened:
            packed, recorded = opened.get_tensor(_PACKED), (opened.metadata() or {}).get(_HASH)
    except (OSError, SafetensorError):
        return None
    return _unpacked(packed) if recorded == _hash(packed, weight, scales) else None


def _hash(packed: Tensor, weight: Tensor, scales: Tensor) -> str:
    whole = hashlib.sha256()
    for tensor in (packed, weight, scales):
        whole.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _packed(integers: Tensor) -> Tensor:
    """Uint8 [N, K / 2]: two of ``integers`` a byte, the first one in its low bits."""
    low, high = (integers + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(2)
    return low | high << 4


def _unpacked(packed: Tensor) -> Tensor:
    pairs = torch.stack((packed & 0xF, packed >> 4), dim=2)
    return pairs.flatten(1).to(torch.int8) - 8
