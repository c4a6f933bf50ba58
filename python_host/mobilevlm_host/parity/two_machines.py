"""Compare the ARM program with this machine's: every call of parity is made on both, and the distances are recorded."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from PIL.Image import Image
from torch import Tensor

from mobilevlm_host.ask.conversation import Conversation
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.engines.methods import Methods
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.metrics import Distance, distance
from mobilevlm_host.parity.stages import Stage, StageFigures

COMPARED = {
    "arm64 vision_encoder": "CLIP's features, on the ARM CPU and on this machine",
    "arm64 projector": "image embeddings, on the ARM CPU and on this machine",
    "arm64 token_embedding": "the rows of every token fed",
    "arm64 text_decoder": "logits of every step, on the ARM CPU and on this machine",
    "arm64 answer": "greedy answers, on the ARM CPU and by this machine's C++ runner",
}
STAGES = tuple(COMPARED)


class TwoMachines:
    """The :class:`Methods` and answers of ``arm``; each call is repeated on this machine, and the results are compared."""

    def __init__(self, arm: Methods, here: Runner) -> None:
        """``arm`` are the methods of the bundle that ``here`` runs."""
        self._arm, self._here, self._runner = arm, here.methods(), here
        engine = MethodsGeneration(arm, pieces=here.tokenizer.vocab_size, max_prefill=here.manifest.max_prefill)
        self._arm_conversation = Conversation(engine, here.spec)
        self._found: dict[str, list[tuple[int, Distance]]] = {stage: [] for stage in STAGES[:-1]}
        self._same: list[bool] = []

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Methods`."""
        embeds, features = self._arm.vision_encoder(pixels)
        expected, expected_features = self._here.vision_encoder(pixels)
        self._record("arm64 vision_encoder", expected_features, features)
        self._record("arm64 projector", expected, embeds)
        return embeds, features

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Methods`."""
        embeds = self._arm.token_embedding(ids)
        self._record("arm64 token_embedding", self._here.token_embedding(ids), embeds)
        return embeds

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Methods`."""
        logits = self._arm.text_decoder(embeds, position)
        self._record("arm64 text_decoder", self._here.text_decoder(embeds, position), logits)
        return logits

    def answer(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """The greedy answer; a sample ends with it."""
        self._arm_conversation.forget()  # its KV cache was written to by calls of the methods
        answer = self._arm_conversation.answer_ids(image, question, max_new_tokens)
        self._same.append(answer == self._runner.answer_ids(image, question, max_new_tokens))
        return answer

    def stages(self, recipe: Mapping[str, str], names: Sequence[str]) -> tuple[Stage, ...]:
        """The distances of the two machines over the samples ``names``, in the order of ``STAGES``, with the limits for ``recipe``.

        The worst call counts, but for the text decoder the median, because a value rounded the other way can make one call noisy.
        """
        found = [self._distances(stage, names) for stage in STAGES[:-1]] + [self._answers(names)]
        return tuple(
            Stage(stage, metrics, (limit,), worst)
            for stage, limit, (metrics, worst) in zip(STAGES, thresholds.machine_limits(recipe), found, strict=True)
        )

    def _distances(self, stage: str, names: Sequence[str]) -> StageFigures:
        sample, worst = min(self._found[stage], key=lambda found: found[1].snr_db)
        found = [each for _, each in self._found[stage]]
        metrics = {
            "max_abs": max(each.max_abs for each in found),
            "cosine": min(each.cosine for each in found),
            "snr_db": worst.snr_db,
            "median_snr_db": statistics.median_low([each.snr_db for each in found]),
        }
        return metrics, names[sample] if worst.snr_db < math.inf else ""

    def _answers(self, names: Sequence[str]) -> StageFigures:
        metrics = {"same": sum(self._same) / len(self._same), "flips": float(self._same.count(False))}
        return metrics, names[self._same.index(False)] if False in self._same else ""

    def _record(self, stage: str, expected: Tensor, got: Tensor) -> None:
        self._found[stage].append((len(self._same), distance(expected, got)))
