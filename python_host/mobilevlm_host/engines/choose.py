"""Choose the artifact of a bundle to run on this machine, and its engine."""

from __future__ import annotations

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.job import BACKENDS
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.engines.executorch import ExecuTorchMethods, set_threads
from mobilevlm_host.engines.methods import ComputedBy, Methods


def chosen_backend(bundle: Bundle, backend: str | None = None) -> str:
    """``backend``, or if None the first of ``BACKENDS`` that ``bundle`` has an artifact for.

    Raises:
        BundleError: the bundle has no such artifact.
    """
    made = bundle.manifest.values["artifacts"]
    chosen = backend or next((name for name in BACKENDS if name in made), BACKENDS[0])
    bundle.artifact(chosen)
    return chosen


def computed_by(backend: str) -> ComputedBy:
    """The engine that computes ``backend`` on this machine."""
    if backend == "coreai":
        from mobilevlm_host.engines.coreai import TWIN

        return TWIN
    if backend != "coreml":
        return ComputedBy(backend)
    from mobilevlm_host.engines import coreml

    return coreml.PREDICTED if coreml.core_ml_is_here() else coreml.EVALUATED


def open_methods(
    bundle: Bundle, backend: str | None = None, threads: int | None = None, progress: Progress = silent
) -> Methods:
    """The methods of ``bundle`` for ``backend`` (see :func:`chosen_backend`); ``threads`` sets the engine's CPU threads, process-wide.

    Raises:
        BundleError: the bundle has no such artifact.
        DependencyError, RunnerError, MilError: the engine can't load it.
    """
    chosen = chosen_backend(bundle, backend)
    if chosen == "coreai":
        from mobilevlm_host.engines.coreai import open_coreai

        return open_coreai(bundle, threads)
    if chosen == "coreml":
        from mobilevlm_host.engines.coreml import open_coreml

        return open_coreml(bundle, threads)
    if threads is not None:
        set_threads(threads)
    return ExecuTorchMethods(bundle, progress=progress)
