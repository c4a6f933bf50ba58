"""A model that takes the exam is compared with the fp32 model's answers, whatever texts it was given together with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import random_model

from mobilevlm_export.model import MobileVLM
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.quality import exam as exams
from mobilevlm_host.bench.peer.quality.exam import Exam, ExamQuestion, faithfulness, held_out_exam


@pytest.fixture
def model() -> MobileVLM:
    return random_model()


@pytest.fixture
def exam(model: MobileVLM, tiny_tokenizer_model: Path, monkeypatch: pytest.MonkeyPatch) -> Exam:
    monkeypatch.setattr(exams, "_MAX_NEW_TOKENS", 6)
    return held_out_exam(model, Tokenizer(tiny_tokenizer_model), 6)


def test_the_fp32_model_answers_greedily_and_each_image_is_encoded_once(exam: Exam, model: MobileVLM) -> None:
    assert [each.image for each in exam.questions] == [0, 0, 0, 0, 1, 1]
    assert len(exam.images) == 2
    for each in exam.questions:
        assert model.generate([each.before, exam.images[each.image], each.after], 6) == each.answer
        assert each.tokens == len(each.answer) + 1


def test_texts_of_different_lengths_are_computed_together(
    exam: Exam, model: MobileVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exams, "_BATCH", 4)
    alone = []
    for each in exam.questions:
        embeds = model.embed([each.before, exam.images[each.image], each.after + each.answer])
        alone.append(model.text_decoder(embeds)[0, -each.tokens :])
    assert len({len(each.after) for each in exam.questions}) > 1
    torch.testing.assert_close(exam.logits(model), torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_a_model_is_faithful_to_itself(exam: Exam, model: MobileVLM) -> None:
    logits = exam.logits(model)
    found = faithfulness(exam, logits, logits)
    assert (found.questions, found.same, found.mean_kl, found.kl_interval) == (6, 6, 0, (0, 0))


def test_kl_is_averaged_over_an_answer_then_over_questions() -> None:
    exam = Exam(torch.empty(0), [ExamQuestion(0, [], [], [5]), ExamQuestion(0, [], [], [])])
    certain, even = [50.0, 0.0], [0.0, 0.0]
    reference = torch.tensor([certain, certain, certain])
    found = faithfulness(exam, reference, torch.tensor([even, certain, even]))
    nats = torch.tensor(2.0).log().item()
    assert found.mean_kl == pytest.approx((nats / 2 + nats) / 2)
    assert found.kl_interval == pytest.approx((nats / 2, nats))
    flipped = faithfulness(exam, reference, torch.tensor([certain, [0.0, 50.0], certain]))
    assert (found.same, flipped.same) == (2, 1)  # the first of equal values is the most likely
