"""Tokens chosen from logits, one by one, by methods that are called from Python."""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.engines.native_output import runtime_output_hidden


class _Cycle:
    """After token n, n + 1 is the most likely one, and n + 2 nearly as likely."""

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("no picture is shown")

    def token_embedding(self, ids: Tensor) -> Tensor:
        with runtime_output_hidden():
            return ids[..., None].float()

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        with runtime_output_hidden():
            logits = torch.zeros(50)
            last = int(embeds[0, -1, 0])
            logits[last + 1], logits[last + 2] = 90.0, 89.0
            return logits


def _tokens(temperature: float, most: int = 20) -> list[int]:
    tokens: list[int] = []

    def on_token(token: int) -> bool:
        tokens.append(token)
        return len(tokens) < most

    MethodsGeneration(_Cycle(), pieces=50, max_prefill=8).generate([3], 1000, temperature, on_token)
    return tokens


@pytest.mark.parametrize("temperature", [0.0, 1e-4, 1e-44, 1e-320, 5e-324])
def test_a_temperature_near_zero_is_greedy(temperature: float) -> None:
    assert _tokens(temperature) == list(range(4, 24))


def test_a_temperature_samples_all_but_the_first_token() -> None:
    torch.manual_seed(0)
    sampled = [_tokens(1.0) for _ in range(20)]
    assert {tokens[0] for tokens in sampled} == {4}
    steps = Counter(b - a for tokens in sampled for a, b in pairwise(tokens))
    assert set(steps) == {1, 2}
    assert 0.65 < steps[1] / steps.total() < 0.81  # e / (1 + e) is 0.73


def test_output_is_hidden_once_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each call, it takes as long as a token of a small model."""
    opened: list[str] = []
    really = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: (opened.append(str(path)), really(path, *rest))[1])
    assert len(_tokens(0.0)) == 20
    assert opened == [os.devnull]
