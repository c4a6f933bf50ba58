"""ExecuTorch's C++ multimodal runner as a :class:`~mobilevlm_host.engines.generation.Generation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.engines.executorch import set_threads
from mobilevlm_host.engines.native_output import native_output_hidden
from mobilevlm_host.engines.operators import register_operators
from mobilevlm_host.engines.packed_load import load_packed


class CppGeneration:
    """ExecuTorch's C++ multimodal runner, the same as on Android phones. It prints a lot, which is hidden."""

    def __init__(
        self,
        bundle: Bundle,
        tokenizer: Tokenizer,
        threads: int | None,
        *,
        weight_cache: bool = True,
        progress: Progress = silent,
    ) -> None:
        """Load the program of ``bundle``, with packed weights from a file where possible if ``weight_cache`` is set; ``threads`` sets
        ExecuTorch's CPU threads, process-wide.

        Raises:
            BundleError: the bundle has none for ExecuTorch.
            RunnerError: the runner can't load it.
        """
        self._program, self._bos_id = bundle.artifact("executorch"), tokenizer.bos_id
        # The runner returns pieces, not ids.
        self._ids = {tokenizer.piece(token): token for token in range(tokenizer.vocab_size)}
        import_engine()
        if threads is not None:
            set_threads(threads)
        load = partial(self._load, str(bundle.tokenizer("json")))
        self._runner: Any = load_packed(bundle, load, progress, weight_cache=weight_cache)

    def _load(self, tokenizer_json: str) -> Any:
        """A runner with all methods loaded, which it otherwise defers to its first answer."""
        from executorch.extension.llm.runner import GenerationConfig, MultimodalRunner, make_token_input

        with native_output_hidden():
            try:
                runner = MultimodalRunner(str(self._program), tokenizer_json)
                runner.generate([make_token_input([self._bos_id])], GenerationConfig(max_new_tokens=1, echo=False))
                runner.reset()
            except (RuntimeError, UnicodeDecodeError) as error:
                raise RunnerError(f"{self._program}: the engine can't load it ({str(error).splitlines()[0]})") from None
        return runner

    def reset(self, keep: int = 0) -> int:
        """See :class:`Generation`; the runner can only be cleared completely."""
        with native_output_hidden():
            self._runner.reset()
        return 0

    def feed(self, ids: list[int]) -> None:
        """See :class:`Generation`."""
        from executorch.extension.llm.runner import make_token_input

        with self._running():
            self._runner.prefill([make_token_input(ids)])

    def show(self, pixels: Tensor) -> None:
        """See :class:`Generation`."""
        from executorch.extension.llm.runner import make_image_input

        with self._running():
            self._runner.prefill([make_image_input(pixels)])

    def generate(
        self, ids: list[int], max_new_tokens: int, temperature: float, on_token: Callable[[int], bool]
    ) -> None:
        """See :class:`Generation`. If the first token is to be the last, one more is generated: a runner stopped there would drop it."""
        from executorch.extension.llm.runner import GenerationConfig, make_token_input

        def on_piece(piece: str) -> None:
            if not on_token(self._ids.get(piece, -1)):
                self._runner.stop()

        options = GenerationConfig(max_new_tokens=max_new_tokens, temperature=temperature, echo=False)
        with self._running():
            self._runner.generate([make_token_input(ids)], options, on_piece)

    @contextmanager
    def _running(self) -> Iterator[None]:
        with native_output_hidden():
            try:
                yield
            except RuntimeError as error:
                raise RunnerError(f"{self._program}: the engine can't run it ({str(error).splitlines()[0]})") from None


def import_engine() -> None:
    """Load ExecuTorch's libraries into this process, if not yet loaded."""
    with native_output_hidden():
        register_operators()
        import executorch.extension.llm.runner  # noqa: F401
