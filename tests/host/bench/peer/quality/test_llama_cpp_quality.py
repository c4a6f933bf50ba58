"""llama.cpp takes the same exam: with the fp32 model's image embeddings, and with its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_llama_cpp import ENGINE, FakeLlamaCpp
from tiny import random_model

from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.quality import exam as exams
from mobilevlm_host.bench.peer.quality import llama_cpp_quality
from mobilevlm_host.bench.peer.quality.exam import Exam, held_out_exam
from mobilevlm_host.bench.peer.quality.llama_cpp_quality import LlamaCppExam


@pytest.fixture
def exam(tiny_tokenizer_model: Path, monkeypatch: pytest.MonkeyPatch) -> Exam:
    monkeypatch.setattr(exams, "_MAX_NEW_TOKENS", 5)
    return held_out_exam(random_model(), Tokenizer(tiny_tokenizer_model), 5)


@pytest.fixture
def asked(llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The requests to child processes, which run in this one."""
    llama_cpp.install(monkeypatch)
    from mobilevlm_host.bench.peer.quality import llama_cpp_logits

    monkeypatch.setattr(llama_cpp_logits, "LlamaCppEngine", sys.modules[ENGINE].LlamaCppEngine)
    requests: list[Mapping[str, Any]] = []

    def child(module: str, request: Mapping[str, Any]) -> Any:
        assert module == llama_cpp_logits.__name__
        requests.append(request)
        return llama_cpp_logits.run(request)

    monkeypatch.setattr(llama_cpp_quality, "in_child", child)
    return requests


def test_each_quantization_takes_the_exam(
    exam: Exam,
    asked: list[Mapping[str, Any]],
    llama_cpp: FakeLlamaCpp,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, steps = random_model(), []
    importance = {"blk.0.attn_q.weight": np.array([1, 2], np.float32)}
    monkeypatch.setattr(llama_cpp_quality, "importance_matrix", lambda *_: importance)
    taken = LlamaCppExam(tiny_checkpoint, model, exam, tmp_path, threads=3)
    rows = taken.rows(exam.logits(model), lambda *step: steps.append(step))
    assert [row.name for row in rows] == ["F16", "Q8_0", "Q4_K_M", "Q4_K_M imatrix", "Q4_0"]
    assert [kind for _, kind, _ in llama_cpp.quantized] == [7, 15, 15, 2]
    assert llama_cpp.importance == [{}, {}, {"blk.0.attn_q.weight": [1, 2]}, {}]
    # The fake computes what the fp32 model does, whatever the type.
    for row in rows:
        for found in (row.decoder, row.model):
            assert (found.questions, found.same) == (5, 5)
            assert found.mean_kl < 1e-9
        assert row.model_bytes > row.decoder_bytes > 0
    assert rows[0].model_bytes > rows[1].model_bytes  # a projector of float16, then of Q8_0
    assert [(request["images"], request["threads"]) for request in asked[:2]] == [("embeds.npy", 3), ("pixels.npy", 3)]
    assert steps[-1] == ("llama.cpp's quantizations", 5, 5)


def test_whole_models_are_compared_with_llama_cpps_own(
    exam: Exam, llama_cpp: FakeLlamaCpp, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama_cpp.install(monkeypatch)
    model = random_model()
    reference = exam.logits(model)
    monkeypatch.setattr(llama_cpp_quality, "importance_matrix", lambda *_: {})

    def child(module: str, request: Mapping[str, Any]) -> Any:
        """An encoder with a fault, the same in each file."""
        np.save(request["output"], (reference.flip(1) if request["images"] == "pixels.npy" else reference).numpy())

    monkeypatch.setattr(llama_cpp_quality, "in_child", child)
    first, *others = LlamaCppExam(tiny_checkpoint, model, exam, tmp_path, 1).rows(reference)
    assert first.model.mean_kl > 0.1
    assert {each.model.mean_kl for each in others} == {each.decoder.mean_kl for each in (first, *others)} == {0.0}
    torch.testing.assert_close(reference, exam.logits(model))
