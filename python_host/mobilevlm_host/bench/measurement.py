"""Runs of several systems in turns, each in a process of its own, and the median and quartiles of what they report."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mobilevlm_export.errors import MobileVLMError, RunnerError
from mobilevlm_export.progress import Progress, silent

_T = TypeVar("_T")

Figures = Mapping[str, float]  # what one run reports: figures by name, in units that the name tells

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Spread:
    """One figure's samples, a round each, and what lies in their middle; all in the figure's unit."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the samples are below, half above."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The middle half of the samples lies between them; of a single sample, itself."""
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {"median": self.median, "quartiles": list(self.quartiles), "samples": list(self.samples)}


def interleaved(
    runs: Mapping[str, Callable[[], Figures]], repeats: int, progress: Progress = silent
) -> dict[str, dict[str, Spread]]:
    """Call all of ``runs`` in turns, ``repeats`` rounds; every second round goes backwards, so that neither a slow drift of the
    machine nor the place in a round favours one. Figures by run and name.
    """
    reported: dict[str, list[Figures]] = {name: [] for name in runs}
    done = 0
    progress("measuring", done, repeats * len(runs))
    for turn in range(repeats):
        for name in list(runs)[:: -1 if turn % 2 else 1]:
            reported[name].append(runs[name]())
            done += 1
            progress("measuring", done, repeats * len(runs))
    return {
        name: {figure: Spread(tuple(each[figure] for each in rounds)) for figure in rounds[0]}
        for name, rounds in reported.items()
    }


def in_child(module: str, request: Mapping[str, Any]) -> Figures:
    """Run ``python -m module REQUEST`` (JSON) and return the JSON object that it prints last: its memory and its threads are
    its own.

    Raises:
        RunnerError: it fails; the message is the last line that it wrote, if it ended by itself.
    """
    command: Sequence[str] = (sys.executable, "-m", module, json.dumps(request))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() if done.returncode == 1 else []
        raise RunnerError(said[-1] if said else f"{module}: ended with exit code {done.returncode}, expected figures")
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def print_figures(measure: Callable[[Mapping[str, Any]], object]) -> None:
    """What ``module`` does in :func:`in_child`: print what ``measure`` makes of the request, or end with an error's one line."""
    try:
        figures = measure(json.loads(sys.argv[1]))
    except MobileVLMError as error:
        sys.exit(str(error))
    print(json.dumps(figures))


def timed(call: Callable[..., _T], *arguments: Any, **named: Any) -> tuple[float, _T]:
    """Seconds that ``call`` takes, and what it returns."""
    begin = time.perf_counter()
    result = call(*arguments, **named)
    return time.perf_counter() - begin, result


def memory_bytes() -> int:
    """What is resident of this process now (where the system doesn't tell: at most so far)."""
    return _status("VmRSS")


def peak_memory_bytes() -> int:
    """The most that was resident of this process since it began."""
    return _status("VmHWM")


def _status(field: str) -> int:
    # Linux's own figures, because getrusage's maximum goes on from the process that started this one.
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
