"""``mvlm bench`` from a bundle to a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.pixels import open_image
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.bench.bench_report import BenchReport, ThreadCountResult
from mobilevlm_host.bench.bench_round import ANSWER_TOKENS, Session
from mobilevlm_host.bench.load_round import load_in_memory_s, load_writing_s
from mobilevlm_host.bench.measurement import Figures, interleaved
from mobilevlm_host.engines.choose import chosen_backend
from mobilevlm_host.engines.packed_load import prepare_packed

_PICTURE = DEMO_SAMPLES / "word-and-shapes.png"


def bench(
    bundle: Bundle,
    *,
    image: Path | None = None,
    threads: Sequence[int] = (),
    repeats: int = 5,
    backend: str | None = None,
    display_name: str = "",
    progress: Progress = silent,
) -> BenchReport:
    """Measure the verified ``bundle`` on this machine: ``repeats`` rounds for each number of ``threads``, interleaved.

    Raises:
        BundleError, ImageError, RunnerError: the bundle or the image can't be used; or the bundle's Core ML programs would be
            evaluated, which doesn't reflect their speed.
    """
    backend = chosen_backend(bundle, backend)
    if backend == "coreml":
        _require_core_ml(bundle)
    if backend == "coreai":
        raise RunnerError(
            f"{bundle.path}: got Core AI programs, whose speed in Apple's runtime here is unrelated to a phone's; expected an "
            "ExecuTorch program"
        )
    picture = image or _PICTURE
    open_image(picture)  # reports a bad image here, not in a child process
    choices: list[int | None] = list(dict.fromkeys(threads)) or [None]
    sessions = {str(count): Session(str(bundle.path), backend, count, str(picture)) for count in choices}
    load_average = os.getloadavg()[0]
    runs: dict[str, Callable[[], Figures]] = {name: each.in_child for name, each in sessions.items()}
    writing_s = None
    if backend == "executorch" and prepare_packed(bundle, progress):
        progress("measuring the load that writes the weights", 0, 0)
        writing_s = load_writing_s(bundle, choices[0])
        runs = {name: partial(_with_load_in_memory, run, bundle, sessions[name]) for name, run in runs.items()}
    found = interleaved(runs, repeats, progress)
    return BenchReport(
        bundle=display_name or str(bundle.path),
        backend=backend,
        recipe=str(bundle.manifest.values["quantization"]["recipe"].get("name", "")),
        image=str(image) if image else f"the demo's {picture.name}",
        answer_tokens=ANSWER_TOKENS,
        repeats=repeats,
        load_average=load_average,
        systems=[ThreadCountResult(count, found[str(count)]) for count in choices],
        load_writing_s=writing_s,
    )


def _with_load_in_memory(run: Callable[[], Figures], bundle: Bundle, session: Session) -> Figures:
    return {**run(), "load_in_memory_s": load_in_memory_s(bundle, session.threads)}


def _require_core_ml(bundle: Bundle) -> None:
    from mobilevlm_host.engines.coreml import core_ml_is_here

    if not core_ml_is_here():
        raise RunnerError(
            f"{bundle.path}: got Core ML programs, which are evaluated in torch here, at a speed unrelated to a phone's; "
            "expected an ExecuTorch program, or a Mac with macOS 15"
        )
