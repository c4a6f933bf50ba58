"""What parity compares: the methods of a bundle's program, and whole answers of its runner."""

from __future__ import annotations

from typing import Protocol

from PIL.Image import Image

from mobilevlm_export.bundle import Bundle
from mobilevlm_host.methods import ExecuTorchMethods, Methods
from mobilevlm_host.runner import Runner


class Engine(Methods, Protocol):
    """The three methods, with a KV cache of their own, and the runner's greedy answers."""

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """Greedy token ids."""
        ...


class ExecuTorchEngine(ExecuTorchMethods):
    """An :class:`Engine` of ``model.pte``: ExecuTorch's runtime for the methods, the C++ runner for answers."""

    def __init__(self, bundle: Bundle, runner: Runner) -> None:
        super().__init__(bundle)
        self._runner = runner

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """See :class:`Engine`."""
        for _ in self._runner.ask(image, question, max_new_tokens=max_new_tokens):
            pass
        return list(self._runner.answer.token_ids or ())
