"""The same questions are asked about the widened demo, plain and with outliers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_llama_cpp import FakeLlamaCpp

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.model import MobileVLM
from mobilevlm_host.bench.peer.quality import compare_quality as comparing
from mobilevlm_host.bench.peer.quality.compare_quality import compare_quality
from mobilevlm_host.bench.peer.quality.exam import Exam


def test_both_engines_are_asked_about_the_same_models(
    llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    llama_cpp.install(monkeypatch)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "llama-imatrix").touch()
    monkeypatch.setattr(sys.modules["llama_cpp"], "__path__", [str(tmp_path)])
    logits: list[torch.Tensor] = []
    gains: list[float] = []

    def kit_quality(model: MobileVLM, exam: Exam, reference: torch.Tensor, _: object) -> list[Any]:
        assert [len(exam.questions), len(exam.images)] == [3, 1]
        torch.testing.assert_close(exam.logits(model), reference)
        logits.append(reference)
        gain = model.text_decoder.norm.weight
        gains.append(float(gain.max() / gain.median()))
        return []

    class Peer:
        def __init__(self, checkpoint: Path, model: MobileVLM, exam: Exam, folder: Path, threads: int) -> None:
            assert threads == 7
            for name, weight in load_checkpoint(checkpoint).state_dict().items():
                assert torch.equal(weight, model.state_dict()[name])

        def rows(self, reference: torch.Tensor, _: object) -> list[Any]:
            assert reference is logits[-1]
            return []

    monkeypatch.setattr(comparing, "kit_quality", kit_quality)
    monkeypatch.setattr(comparing, "LlamaCppExam", Peer)
    found = compare_quality(3, threads=7)
    assert found.questions == 3
    assert [table.name for table in found.tables] == ["demo, widened", "demo, widened, with outliers × 50"]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-4, atol=1e-3)
    assert gains[1] > 20 > 5 > gains[0]
