"""Ask the fp32 model, before anything is measured: its greedy tokens are what every quantized model is fed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.errors import ParityError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity.run_sample import DECODE_STEPS, Sample, greedy_run
from mobilevlm_host.sensitivity.data_path import Asked
from mobilevlm_host.sensitivity.time_plan import Timing

_STEPS = 1 + DECODE_STEPS


class Fp32Answers:
    """Answers of ``model``, float32."""

    def __init__(self, model: MobileVLM, tokenizer: Tokenizer, progress: Progress = silent) -> None:
        self._model, self._tokenizer, self._progress = model, tokenizer, progress

    @torch.inference_mode()
    def timing(self, sample: Sample) -> Timing:
        """How long the model takes for ``sample``."""
        begin = time.monotonic()
        embeds = self._embeds(sample)
        towered = time.monotonic()
        self._model.text_decoder(embeds)
        decoded = time.monotonic()
        self._greedy(sample, embeds)
        return Timing(towered - begin, decoded - towered, time.monotonic() - decoded)

    @torch.inference_mode()
    def ask(self, samples: Sequence[Sample]) -> list[dict[str, Any]]:
        """The greedy ids for each sample, as plain data for :func:`asked`.

        Raises:
            ParityError: a prompt leaves no room for an answer.
        """
        found = []
        for done, sample in enumerate(samples):
            self._progress("fp32 model", done, len(samples))
            found.append(self._greedy(sample, self._embeds(sample)))
        self._progress("fp32 model", len(samples), len(samples))
        return found

    def _embeds(self, sample: Sample) -> Tensor:
        before, after = prompt.first_turn_ids(self._tokenizer, sample.question)
        return self._model.embed([before, preprocess(sample.image, self._model.config), after])

    def _greedy(self, sample: Sample, embeds: Tensor) -> dict[str, Any]:
        room = self._model.config.llm.max_position_embeddings - embeds.shape[1]
        if room < 1:
            raise ParityError(
                f"{sample.name}: got a prompt of {embeds.shape[1]} tokens, expected room for an answer after it"
            )
        steps = min(_STEPS, room)
        run = greedy_run(self._model, embeds, steps, steps)
        self._model.text_decoder.caches = []
        return {"greedy_ids": run.greedy_ids[:steps], "answered": min(len(run.answer) + 1, steps)}


def asked(model: MobileVLM, tokenizer: Tokenizer, sample: Sample, answer: dict[str, Any]) -> Asked:
    """``sample`` with the ``answer`` that :meth:`Fp32Answers.ask` found."""
    before, after = prompt.first_turn_ids(tokenizer, sample.question)
    return Asked(preprocess(sample.image, model.config), before, after, **answer)
