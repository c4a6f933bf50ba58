"""The kit's engine in a round: ExecuTorch's C++ multimodal runner, as on phones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.peer_round import Job, Prompt, run
from mobilevlm_host.engines.cpp_runner import CppGeneration, import_engine
from mobilevlm_host.engines.executorch import ExecuTorchMethods
from mobilevlm_host.engines.native_output import native_output_hidden


class KitEngine:
    """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`. A job's file is the bundle's folder, already verified."""

    def __init__(self, job: Job) -> None:
        folder = Path(job.files[0])
        self._bundle = Bundle(folder, read_manifest(folder / MANIFEST))
        self._tokenizer = Tokenizer(self._bundle.tokenizer())
        self._eos_id = job.eos_id
        self._generation = CppGeneration(self._bundle, self._tokenizer, job.threads)
        self._methods: ExecuTorchMethods | None = None

    def ids(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        return [self._tokenizer.bos_id, *self._tokenizer.encode(prompt.before)], self._tokenizer.encode(prompt.after)

    def encode(self, pixels: NDArray[np.uint8]) -> object:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`; calls the method directly, on a second copy of the program."""
        self._methods = self._methods or ExecuTorchMethods(self._bundle)
        return self._methods.vision_encoder(_channels_first(pixels)[None])

    def reset(self) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        self._generation.reset()

    def feed(self, ids: list[int]) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        self._generation.feed(ids)

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        self._generation.show(_channels_first(pixels))

    def generate(self, ids: list[int], max_new_tokens: int) -> list[int]:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        tokens: list[int] = []

        def take(token: int) -> bool:
            tokens.append(token)
            return self._eos_id not in tokens

        self._generation.generate(ids, max_new_tokens, 0.0, take)
        return tokens[: tokens.index(self._eos_id)] if self._eos_id in tokens else tokens


def _channels_first(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


if __name__ == "__main__":
    import_engine()
    with native_output_hidden():  # once for all calls, not within the timed ones
        run(KitEngine)
