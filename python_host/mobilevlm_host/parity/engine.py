"""The methods of a bundle's program, called one by one, and whole answers of its runner."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export.bundle import Bundle
from mobilevlm_host.native_output import native_output_hidden
from mobilevlm_host.runner import Runner


class Engine(Protocol):
    """What parity compares: the three methods, with a KV cache of their own, and the runner's greedy answers."""

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Uint8 [1, 3, S, S] → image embeddings [1, P / 4, D], features [1, P, vision D]."""
        ...

    def token_embedding(self, ids: Tensor) -> Tensor:
        """Int64 [1, T] → [1, T, D]."""
        ...

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """[1, T, D] at cache ``position`` → logits [V] that follow the last; T is at most the bundle's max_prefill."""
        ...

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """Greedy token ids."""
        ...


def prefill(engine: Engine, embeds: Tensor, max_prefill: int) -> Tensor:
    """Logits [V] after ``embeds`` [1, T, D], fed from position 0 in chunks of at most ``max_prefill``."""
    chunks = [engine.text_decoder(chunk, at * max_prefill) for at, chunk in enumerate(embeds.split(max_prefill, dim=1))]
    return chunks[-1]


class ExecuTorchEngine:
    """An :class:`Engine` of ``model.pte``: ExecuTorch's runtime for the methods, the C++ runner for answers."""

    def __init__(self, bundle: Bundle, runner: Runner) -> None:
        self._runner = runner  # it has registered the operators that the program needs
        # The import prints lines about the CPU, in C++ but by way of sys.stderr.
        with native_output_hidden(), redirect_stderr(io.StringIO()):
            from executorch.runtime import Runtime

            self._program = Runtime.get().load_program(str(bundle.artifact("executorch")))
            self._methods: dict[str, Any] = {
                name: self._program.load_method(name) for name in ("vision_encoder", "token_embedding", "text_decoder")
            }

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Engine`."""
        embeds, features = self._call("vision_encoder", pixels)
        return embeds, features

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Engine`."""
        return self._call("token_embedding", ids)[0]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Engine`."""
        logits = self._call("text_decoder", embeds.contiguous(), torch.tensor([position]))[0]
        return logits.reshape(-1, logits.shape[-1])[-1]

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """See :class:`Engine`."""
        for _ in self._runner.ask(image, question, max_new_tokens=max_new_tokens):
            pass
        return list(self._runner.answer.token_ids or ())

    def _call(self, method: str, *inputs: Tensor) -> list[Tensor]:
        with native_output_hidden():
            # Outputs live in the program's memory, which the next call uses again.
            return [output.clone() for output in self._methods[method].execute(inputs)]
