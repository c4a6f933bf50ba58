"""Loading by itself, in fresh processes: with the packed weights in memory, while their file is written, and with the file there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.bench.measurement import Figures, in_child, print_figures, timed
from mobilevlm_host.engines.cpp_runner import import_engine
from mobilevlm_host.engines.packed_files import OFF, SETTING
from mobilevlm_host.engines.packed_load import packed_file

_MAPS, _STAT, _CLOCK = Path("/proc/self/maps"), Path("/proc/self/stat"), "CLOCK_BOOTTIME"


@dataclass(frozen=True)
class LoadSession:
    """Loading the ExecuTorch program of the folder ``bundle``, whose hashes are already verified; ``weights`` is the setting for
    packed weights.
    """

    bundle: str
    threads: int | None
    weights: str

    def in_child(self) -> Figures:
        """``load_s``, and whether weights are mapped then, in a fresh process.

        Errors as :func:`mobilevlm_host.bench.measurement.in_child`.
        """
        return in_child(__name__, asdict(self))


def load_in_memory_s(bundle: Bundle, threads: int | None) -> float:
    """Seconds to load ``bundle`` in a fresh process that packs the weights in memory; errors as :meth:`LoadSession.in_child`."""
    return LoadSession(str(bundle.path), threads, OFF).in_child()["load_s"]


def load_writing_s(bundle: Bundle, threads: int | None) -> float | None:
    """Seconds to load ``bundle`` in a fresh process that writes its packed weights, to a file that is removed; None where they aren't
    kept in one, or it couldn't be written. Errors as :meth:`LoadSession.in_child`.
    """
    if not (file := packed_file(bundle)):
        return None
    folder = file.path.parent
    folder.mkdir(parents=True, exist_ok=True)
    with ScratchFolder(folder, "bench") as scratch:
        # In a folder of its own: the scratch folder is locked, as a folder of packed weights is by whoever writes to it.
        found = LoadSession(str(bundle.path), threads, str(scratch / "weights")).in_child()
    return found["load_s"] if found["weights_mapped"] else None


def has_mapped_weights(bundle: Bundle) -> bool:
    """Whether this process has mapped the packed weights of ``bundle``."""
    file = packed_file(bundle)
    return file is not None and _MAPS.exists() and str(file.path) in _MAPS.read_text(encoding="utf-8")


def since_start_s() -> float:
    """Seconds since this process was started, to a hundredth; those of this function's clock where the system doesn't report it."""
    if not _STAT.exists():
        return time.perf_counter()
    started = int(_STAT.read_text(encoding="utf-8").rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(getattr(time, _CLOCK)) - started


def _measure(request: Mapping[str, Any]) -> dict[str, float]:
    session, folder = LoadSession(**request), Path(request["bundle"])
    os.environ[SETTING] = session.weights
    bundle = Bundle(folder, read_manifest(folder / MANIFEST))
    import_engine()
    load_s, runner = timed(Runner, bundle, threads=session.threads, backend="executorch")
    mapped = has_mapped_weights(bundle)
    runner.close()
    return {"load_s": load_s, "weights_mapped": float(mapped)}


if __name__ == "__main__":
    print_figures(_measure)
