"""Questions with the fp32 model's answers, and how closely another model follows them.

A model is fed the fp32 model's greedy answer. Its own answer is the same if and only if each token, and the end, is the most likely
one at its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.demo.held_out import held_out, scene_image
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.prompt import first_turn_ids
from mobilevlm_export.tokenizer import Tokenizer

_MAX_NEW_TOKENS = 80
_BATCH = 32
_RESAMPLES = 2000


@dataclass(frozen=True)
class ExamQuestion:
    """A question about image number ``image``: the ids before and after it, and those of the fp32 model's greedy answer."""

    image: int
    before: list[int]
    after: list[int]
    answer: list[int]

    @property
    def tokens(self) -> int:
        """The number of tokens to predict: the answer's, and the end."""
        return len(self.answer) + 1


@dataclass(frozen=True)
class Exam:
    """Questions about ``images`` (uint8 [N, 3, S, S])."""

    images: Tensor
    questions: Sequence[ExamQuestion]

    def embeds(self, model: MobileVLM) -> Tensor:
        """The embeddings of the images, float32 [N, tokens, D]."""
        with torch.inference_mode():
            return torch.cat([model.vision_encoder(part) for part in self.images.split(_BATCH)])

    @torch.inference_mode()
    def logits(self, model: MobileVLM) -> Tensor:
        """What ``model`` predicts for each token of the answers: float32 [T, V], question by question."""
        images = self.embeds(model)
        found: dict[int, Tensor] = {}
        by_length = sorted(
            range(len(self.questions)), key=lambda at: len(self.questions[at].after) + self.questions[at].tokens
        )
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            asked = [self.questions[at] for at in batch]
            embeds = [model.embed([each.before, images[each.image], each.after + each.answer])[0] for each in asked]
            # No token sees a later one, so what fills up the end of a text changes nothing before it.
            states = model.text_decoder.hidden_states(torch.nn.utils.rnn.pad_sequence(embeds, batch_first=True))
            ends = [
                state[len(text) - each.tokens : len(text)]
                for state, text, each in zip(states, embeds, asked, strict=True)
            ]
            logits = model.text_decoder.lm_head(torch.cat(ends)).split([each.tokens for each in asked])
            found |= dict(zip(batch, logits, strict=True))
        return torch.cat([found[at] for at in range(len(self.questions))])


@dataclass(frozen=True)
class Faithfulness:
    """Of ``questions``: how many answers are those of the fp32 model; the KL of the logits from the fp32 model's in nats, averaged
    over an answer's tokens, then over questions; and its 95 % bootstrap interval.
    """

    questions: int
    same: int
    mean_kl: float
    kl_interval: tuple[float, float]


def held_out_exam(model: MobileVLM, tokenizer: Tokenizer, count: int, progress: Progress = silent) -> Exam:
    """The first ``count`` held-out questions of the demo, answered by ``model``."""
    asked = list(islice(held_out(), count))
    seeds = list(dict.fromkeys(each.seed for each in asked))
    images = torch.stack([preprocess(scene_image(seed), model.config) for seed in seeds])
    embeds = Exam(images, []).embeds(model)
    questions = []
    for each in asked:
        image = seeds.index(each.seed)
        before, after = first_turn_ids(tokenizer, each.qa.question)
        answer = model.generate([before, embeds[image], after], _MAX_NEW_TOKENS)
        questions.append(ExamQuestion(image, before, after, answer))
        progress("answers of the fp32 model", len(questions), len(asked))
    return Exam(images, questions)


def faithfulness(exam: Exam, reference: Tensor, logits: Tensor) -> Faithfulness:
    """Compare ``logits`` with the fp32 model's, both [T, V] as from :meth:`Exam.logits`."""
    ours, theirs = (each.double().log_softmax(-1) for each in (reference, logits))
    kl = (ours.exp() * (ours - theirs)).sum(-1).clamp(min=0)
    top = ours.argmax(-1) == theirs.argmax(-1)
    lengths = [question.tokens for question in exam.questions]
    means = np.array([float(part.mean()) for part in kl.split(lengths)])
    drawn = np.random.default_rng(0).integers(0, len(means), (_RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(1), [0.025, 0.975])
    same = sum(bool(part.all()) for part in top.split(lengths))
    return Faithfulness(len(lengths), same, float(means.mean()), (float(low), float(high)))
