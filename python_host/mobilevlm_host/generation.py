"""One conversation in a KV cache, fed and continued token by token: what :class:`~mobilevlm_host.runner.Runner` drives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mobilevlm_export.bundle import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.methods import Methods, prefill, register_operators, set_threads
from mobilevlm_host.native_output import native_output_hidden


class Generation(Protocol):
    """Everything is appended at the cache's end; :meth:`reset` goes back to its beginning."""

    def reset(self) -> None:
        """Forget all that was fed."""
        ...

    def feed(self, ids: list[int]) -> None:
        """Token ids, at most the bundle's max_prefill."""
        ...

    def show(self, pixels: Tensor) -> None:
        """An image's pixels, uint8 [3, S, S]."""
        ...

    def generate(
        self,
        ids: list[int],
        max_new_tokens: int,
        temperature: float,
        on_token: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Feed ``ids``, at most max_prefill, and hand each new token to ``on_token``: the likeliest first, then sampled at
        ``temperature`` (0: the likeliest), until the end of text, which is handed on too, or ``stopped``.

        A token is fed when the next one is wanted: the last one never is.
        """
        ...

    def stop(self) -> None:
        """End :meth:`generate` after its current token; from any thread."""
        ...


class CppGeneration:
    """ExecuTorch's C++ multimodal runner, the one of phones. It prints much: nothing of that is shown."""

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, threads: int | None) -> None:
        """Load the program of ``bundle``; ``threads`` sets ExecuTorch's CPU threads of the whole process.

        Raises:
            BundleError: the bundle has none for ExecuTorch.
            RunnerError: the runner can't load it.
        """
        program = bundle.artifact("executorch")
        # The runner hands out pieces, not ids.
        self._ids = {tokenizer.piece(token): token for token in range(tokenizer.vocab_size)}
        import_engine()
        with native_output_hidden():
            from executorch.extension.llm.runner import MultimodalRunner

            if threads is not None:
                set_threads(threads)
            try:
                self._runner: Any = MultimodalRunner(str(program), str(bundle.tokenizer("json")))
            except RuntimeError as error:
                raise RunnerError(f"{program}: the engine can't load it ({str(error).splitlines()[0]})") from None

    def reset(self) -> None:
        """See :class:`Generation`."""
        with native_output_hidden():
            self._runner.reset()

    def feed(self, ids: list[int]) -> None:
        """See :class:`Generation`."""
        from executorch.extension.llm.runner import make_token_input

        with native_output_hidden():
            self._runner.prefill([make_token_input(ids)])

    def show(self, pixels: Tensor) -> None:
        """See :class:`Generation`."""
        from executorch.extension.llm.runner import make_image_input

        with native_output_hidden():
            self._runner.prefill([make_image_input(pixels)])

    def generate(
        self,
        ids: list[int],
        max_new_tokens: int,
        temperature: float,
        on_token: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        """See :class:`Generation`; after a first token that is the end of text it goes on until :meth:`stop`."""
        from executorch.extension.llm.runner import GenerationConfig, make_token_input

        options = GenerationConfig(max_new_tokens=max_new_tokens, temperature=temperature, echo=False)
        with native_output_hidden():
            self._runner.generate([make_token_input(ids)], options, lambda piece: on_token(self._ids.get(piece, -1)))

    def stop(self) -> None:
        """See :class:`Generation`."""
        self._runner.stop()


def import_engine() -> None:
    """Load ExecuTorch's libraries into this process, if they aren't there yet."""
    with native_output_hidden():
        register_operators()
        import executorch.extension.llm.runner  # noqa: F401


class MethodsGeneration:
    """The same by a bundle's three methods, for engines without a runner of their own."""

    def __init__(self, methods: Methods, *, eos_id: int, max_prefill: int) -> None:
        self._methods, self._eos_id, self._max_prefill = methods, eos_id, max_prefill
        self._position = 0

    def reset(self) -> None:
        """See :class:`Generation`; what stays in the cache is overwritten before it is read."""
        self._position = 0

    @torch.inference_mode()
    def feed(self, ids: list[int]) -> None:
        """See :class:`Generation`."""
        self._feed(self._methods.token_embedding(torch.tensor([ids])))

    @torch.inference_mode()
    def show(self, pixels: Tensor) -> None:
        """See :class:`Generation`."""
        self._feed(self._methods.vision_encoder(pixels[None])[0])

    @torch.inference_mode()
    def generate(
        self,
        ids: list[int],
        max_new_tokens: int,
        temperature: float,
        on_token: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        """See :class:`Generation`."""
        for step in range(max_new_tokens):
            logits = self._feed(self._methods.token_embedding(torch.tensor([ids])))
            token = _sampled(logits, temperature if step else 0.0)
            on_token(token)
            if token == self._eos_id or stopped():
                break
            ids = [token]

    def stop(self) -> None:
        """Nothing to do: :meth:`generate` asks whether it is stopped after each token."""

    def _feed(self, embeds: Tensor) -> Tensor:
        logits = prefill(self._methods, embeds, self._max_prefill, self._position)
        self._position += embeds.shape[1]
        return logits


def _sampled(logits: Tensor, temperature: float) -> int:
    return int(torch.multinomial((logits / temperature).softmax(-1), 1) if temperature > 0 else logits.argmax())
