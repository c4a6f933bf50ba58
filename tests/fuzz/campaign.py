"""Run targets on damaged files and count the results."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.targets import Target

from mobilevlm_export.errors import MobileVLMError

SLOWEST_S = 5.0
_LONGEST_LINE = 500  # characters, the file's path aside


@dataclass
class Counts:
    """Results for damaged files: ``refused`` in one line, ``accepted`` (harmless damage), or ``faults``, each with its seed."""

    refused: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.refused + self.accepted + len(self.faults)


def run(target: Target, seed: int, more: Callable[[int], bool]) -> Counts:
    """Damage ``target`` repeatedly, starting from ``seed``, as long as ``more`` returns true for the number of files so far."""
    counts = Counts()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        sound, place = folder / "sound", folder / "place"
        sound.mkdir()
        whole = target.whole(sound)
        while more(counts.files):
            case = zlib.crc32(f"{target.name} {seed} {counts.files}".encode())
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            target.beside(place)
            rng = random.Random(case)
            (place / target.file).write_bytes(rng.choice(target.damage)(whole, rng))
            _read(target, place / target.file, f"{target.name}, seed {seed}, file {counts.files}", counts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return counts


def _read(target: Target, path: Path, called: str, counts: Counts) -> None:
    begin = time.monotonic()
    fault = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
        accepted = True
    except MobileVLMError as error:
        accepted = False
        said = str(error).replace(str(path.parent), "")
        if (
            "\n" in said
            or len(said) > _LONGEST_LINE
            or ("expected" not in said and "can't" not in said and "missing" not in said)
        ):
            fault = f"said {said!r:.300}"
    except BaseException as error:
        fault = f"{type(error).__name__}: {str(error)[:200]!r}"
        if isinstance(error, KeyboardInterrupt):
            raise
    if (took := time.monotonic() - begin) > SLOWEST_S:
        fault = f"took {took:.1f} s"
    if fault:
        counts.faults.append(f"{called}: {fault}")
    elif accepted:
        counts.accepted += 1
    else:
        counts.refused += 1
