"""Interleaved runs of several systems, each in its own process, and the median and quartiles of their figures."""

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

Figures = Mapping[str, float]  # one run's figures by name, which ends in the unit

_STATUS, _SHARES = Path("/proc/self/status"), Path("/proc/self/smaps_rollup")


@dataclass(frozen=True)
class Spread:
    """One figure's samples, one per round, with their median and quartiles, in the figure's unit."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and upper quartile; for a single sample, the sample itself."""
        if len(self.samples) == 1:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"median": self.median, "quartiles": list(self.quartiles), "samples": list(self.samples)}


def interleaved(
    runs: Mapping[str, Callable[[], Figures]], repeats: int, progress: Progress = silent
) -> dict[str, dict[str, Spread]]:
    """Call all of ``runs`` in each of ``repeats`` rounds and return figures by run and name. Every second round is in reverse order,
    so that neither a slow drift of the machine nor the position in a round favors a run.
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
    """Run ``python -m module REQUEST`` (JSON), with memory and threads of its own, and return the JSON object that it prints
    last.

    Raises:
        RunnerError: it fails; the message is the last line that it wrote, unless it was killed.
    """
    command: Sequence[str] = (sys.executable, "-m", module, json.dumps(request))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = done.stderr.strip().splitlines() if done.returncode == 1 else []
        raise RunnerError(
            errors[-1] if errors else f"{module}: ended with exit code {done.returncode}, expected figures"
        )
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def print_figures(measure: Callable[[Mapping[str, Any]], object]) -> None:
    """The child's side of :func:`in_child`: print the result of ``measure`` for the request, or exit with a one-line error."""
    try:
        figures = measure(json.loads(sys.argv[1]))
    except MobileVLMError as error:
        sys.exit(str(error))
    print(json.dumps(figures))


def timed(call: Callable[..., _T], *arguments: Any, **named: Any) -> tuple[float, _T]:
    """The seconds that ``call`` takes, and its result."""
    begin = time.perf_counter()
    result = call(*arguments, **named)
    return time.perf_counter() - begin, result


def memory_bytes() -> int:
    """This process's resident memory in bytes; its peak where the system doesn't report the current value."""
    return _status("VmRSS")


def peak_memory_bytes() -> int:
    """This process's peak resident memory in bytes."""
    return _status("VmHWM")


def private_memory_bytes() -> int:
    """This process's resident memory that belongs to no file, so that no other process can share it, in bytes; all of its resident
    memory where the system doesn't tell them apart.
    """
    if not _SHARES.exists():
        return memory_bytes()
    lines = _SHARES.read_text(encoding="utf-8").splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def _status(field: str) -> int:
    # Linux's own figures, because getrusage's maximum includes the parent process.
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
