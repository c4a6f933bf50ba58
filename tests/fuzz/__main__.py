"""``make fuzz``: fuzz readers with damaged files and report counts by kind; exits with 1 if there was a fault.

usage: python -m fuzz [SECONDS [SEED]]   (from tests; SECONDS for all kinds together)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fuzz.campaign import Counts, run
from fuzz.programs import damaged_programs
from fuzz.targets import TARGETS


def main(seconds: float, seed: int, bundle: Path | None) -> int:
    """Fuzz for about ``seconds``, including the programs of ``bundle``, if given."""
    each = seconds / (len(TARGETS) + (3 if bundle else 0))
    print(f"{'kind':16}{'files':>9}{'refused':>9}{'accepted':>9}{'faults':>8}   (seed {seed})")
    faults = 0
    for target in TARGETS:
        end = time.monotonic() + each
        faults += _show(target.name, run(target, seed, lambda count, end=end: time.monotonic() < end))
    if bundle:
        faults += _show("program", damaged_programs(bundle, seed, 1 << 30, 3 * each))
    return 1 if faults else 0


def _show(name: str, counts: Counts) -> int:
    print(f"{name:16}{counts.files:9}{counts.refused:9}{counts.accepted:9}{len(counts.faults):8}", flush=True)
    for fault in counts.faults[:5]:
        print(f"  {fault}")
    return len(counts.faults)


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument]
    folder = Path(given[2]) if len(given) > 2 else None
    sys.exit(main(float(given[0]) if given else 300, int(given[1]) if len(given) > 1 else 0, folder))
