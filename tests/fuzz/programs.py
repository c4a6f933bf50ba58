"""Damaged programs run in a separate process, which may crash if a check misses the damage."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from fuzz.campaign import Counts
from fuzz.mutations import damaged
from repository import TESTS


def damaged_programs(bundle: Path, seed: int, most: int, seconds: float) -> Counts:
    """Damage ``model.pte`` of the folder ``bundle`` and load it as ``mvlm ask`` does; a process killed by a signal is a fault."""
    counts, end = Counts(), time.monotonic() + seconds
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        place = Path(shutil.copytree(bundle, folder / "a.mvlm"))
        while counts.files < most and time.monotonic() < end:
            command = [
                sys.executable,
                "-m",
                "fuzz.programs",
                place,
                bundle,
                seed,
                counts.files,
                most,
                end - time.monotonic(),
            ]
            done = subprocess.run(
                [str(part) for part in command],
                cwd=TESTS,
                capture_output=True,
                text=True,
                check=False,
            )
            said = [line for line in done.stdout.split("\n") if line.startswith("case ")]
            counts.refused += said.count("case refused")
            counts.accepted += said.count("case accepted")
            counts.faults += [f"program, seed {seed}: {line}" for line in said if line.startswith("case fault")]
            if done.returncode:
                why = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stderr[-300:]
                counts.faults.append(f"program, seed {seed}, file {counts.files}: {why}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return counts


def _run(place: Path, bundle: Path, seed: int, first: int, most: int, seconds: float) -> None:
    """Load damaged programs one by one, and print a line for each."""
    from mobilevlm_export.bundle.manifest import read_manifest
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.errors import MobileVLMError
    from mobilevlm_host.ask.runner import Runner

    manifest = read_manifest(bundle / "manifest.json")
    whole = (bundle / "model.pte").read_bytes()
    tables = int.from_bytes(whole[16:24], "little")  # the rest is weights
    end = time.monotonic() + seconds
    for case in range(first, most):
        if time.monotonic() > end:
            break
        rng = random.Random(zlib.crc32(f"program {seed} {case}".encode()))
        changed = damaged(whole[:tables], rng) + whole[tables:] if rng.random() < 0.8 else damaged(whole, rng)
        (place / "model.pte").write_bytes(changed)
        try:
            Runner(Bundle(place, manifest), threads=1).close()
            print("case accepted", flush=True)
        except MobileVLMError:
            print("case refused", flush=True)
        except Exception as error:
            print(f"case fault {type(error).__name__}: {str(error)[:200]!r}", flush=True)


if __name__ == "__main__":
    _run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
