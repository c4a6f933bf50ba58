"""Ask a bundle on the desktop: its ExecuTorch program with the C++ multimodal runner, its Core ML programs with an engine for these."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.ask.conversation import Conversation, ModelSpec
from mobilevlm_host.engines.choose import chosen_backend, computed_by
from mobilevlm_host.engines.cpp_runner import CppGeneration
from mobilevlm_host.engines.executorch import ExecuTorchMethods
from mobilevlm_host.engines.generation import Generation, MethodsGeneration
from mobilevlm_host.engines.methods import ComputedBy, Methods

if TYPE_CHECKING:
    from mobilevlm_host.engines.coreai import CoreAIMethods
    from mobilevlm_host.engines.coreml import CoreMLMethods


class Runner(Conversation):
    """An opened bundle that answers questions, one at a time; a context manager."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        backend: str | None = None,
        weight_cache: bool = True,
        progress: Progress = silent,
    ) -> None:
        """Load the program of ``bundle`` for ``backend`` (default: executorch if present, else coreml, else coreai); ``threads`` sets the
        engine's CPU threads (of the whole process). Unless ``weight_cache`` is false, packed weights of an ExecuTorch program are
        kept in a file where that is known to work, which the first load writes.

        Raises:
            BundleError: the bundle has no such artifact.
            DependencyError: Core AI's packages, for a coreai program, are missing or other versions.
            MilError: a Core ML program is damaged, lacks a function, or has operations that the evaluator doesn't support.
            RunnerError: the engine can't load it.
        """
        begin = time.perf_counter()
        self._weight_cache = weight_cache
        self.backend = chosen_backend(bundle, backend)
        self.bundle, self.manifest, spec = bundle, bundle.manifest, ModelSpec.of(bundle)
        if spec.config.image_tokens > spec.max_prefill:
            raise RunnerError(
                f"{bundle.path}: got a prefill of {spec.max_prefill} tokens, "
                f"expected at least the image's {spec.config.image_tokens}"
            )
        engine: Generation
        self._apple: CoreMLMethods | CoreAIMethods | None = None
        if self.backend == "coreml":
            from mobilevlm_host.engines.coreml import open_coreml

            self._apple = open_coreml(bundle, threads)
        elif self.backend == "coreai":
            from mobilevlm_host.engines.coreai import open_coreai

            self._apple = open_coreai(bundle, threads)
        if self._apple:
            engine = MethodsGeneration(self._apple, pieces=spec.tokenizer.vocab_size, max_prefill=spec.max_prefill)
        else:
            engine = CppGeneration(bundle, spec.tokenizer, threads, weight_cache=weight_cache, progress=progress)
        super().__init__(engine, spec, load_s=time.perf_counter() - begin)

    def methods(self) -> Methods:
        """The program's methods, with their own KV cache; available on a closed runner too.

        Raises:
            RunnerError: the runtime can't load it.
        """
        if self._apple:
            return self._apple.with_own_cache()
        return ExecuTorchMethods(self.bundle, weight_cache=self._weight_cache)

    @property
    def computed_by(self) -> ComputedBy:
        """The engine on this machine, and what its results show."""
        return computed_by(self.backend)
