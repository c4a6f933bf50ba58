"""A bundle's ``model.pte`` in ExecuTorch's own runtime, and the settings of that runtime in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.dependencies.executorch_private import RESET_THREADPOOL, THREAD_COUNT
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.engines.methods import METHODS
from mobilevlm_host.engines.native_output import runtime_output_hidden
from mobilevlm_host.engines.operators import register_operators
from mobilevlm_host.engines.packed_load import load_packed
from mobilevlm_host.engines.program_check import require_sound

_MOST_THREADS = 1024  # where threads can't be started, the engine ends the process


class ExecuTorchMethods:
    """The :class:`Methods` of ``model.pte`` in ExecuTorch's runtime: the same program and kernels as the C++ runner's."""

    def __init__(self, bundle: Bundle, *, weight_cache: bool = True, progress: Progress = silent) -> None:
        """Load the program of ``bundle``, with packed weights from a file where possible if ``weight_cache`` is set.

        Raises:
            BundleError: the bundle has none for ExecuTorch.
            RunnerError: the runtime can't load it.
        """
        import_runtime()
        load = partial(_load, bundle.artifact("executorch"), METHODS)
        self._methods = load_packed(bundle, load, progress, weight_cache=weight_cache)

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Methods`."""
        embeds, features = self._methods["vision_encoder"](pixels)
        return embeds, features

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Methods`."""
        return self._methods["token_embedding"](ids)[0]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Methods`."""
        logits = self._methods["text_decoder"](embeds.contiguous(), torch.tensor([position]))[0]
        return logits.reshape(-1, logits.shape[-1])[-1]


def load_methods(program: Path, names: Iterable[str]) -> dict[str, Callable[..., list[Tensor]]]:
    """The methods ``names`` of the .pte ``program`` in ExecuTorch's runtime: tensors in, tensors out. They share their KV cache.

    Raises:
        RunnerError: the runtime can't load it; from a method: it can't run it.
    """
    require_sound(program)
    import_runtime()
    return _load(program, names)


def _load(program: Path, names: Iterable[str]) -> dict[str, Callable[..., list[Tensor]]]:
    from executorch.runtime import Runtime

    with runtime_output_hidden():
        try:
            loaded: Any = Runtime.get().load_program(str(program))
            methods = {name: loaded.load_method(name) for name in names}
        except (RuntimeError, UnicodeDecodeError) as error:
            raise RunnerError(f"{program}: the runtime can't load it ({str(error).splitlines()[0]})") from None

    def call(name: str, *inputs: Tensor) -> list[Tensor]:
        with runtime_output_hidden():
            # Outputs live in the program's memory, which the next call uses again.
            try:
                return [output.clone() for output in methods[name].execute(inputs)]
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                raise RunnerError(f"{program}: {name}: the runtime can't run it ({reason})") from None

    return {name: partial(call, name) for name in methods}


def import_runtime() -> None:
    """Load ExecuTorch's runtime into this process, with the operators that programs call."""
    with runtime_output_hidden():
        register_operators()
        import executorch.runtime  # noqa: F401


def require_threads(threads: int) -> None:
    """Raise RunnerError unless ``threads`` CPU threads can be started."""
    if not 1 <= threads <= _MOST_THREADS:
        raise RunnerError(f"threads: got {threads}, expected 1 to {_MOST_THREADS}")


def set_threads(threads: int) -> None:
    """Let ExecuTorch's engines in this process use ``threads`` CPU threads.

    Raises:
        RunnerError: so many can't be started.
    """
    require_threads(threads)
    torch.set_num_threads(threads)  # the attention's matrix products are torch's, with threads of their own
    with runtime_output_hidden():
        RESET_THREADPOOL.load()(threads)


def thread_count() -> int:
    """How many CPU threads ExecuTorch's engines in this process use."""
    return int(THREAD_COUNT.load()())
