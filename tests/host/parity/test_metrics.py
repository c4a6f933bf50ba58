"""Figures worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mobilevlm_host.parity.metrics import distance, logit_distance


def test_distance() -> None:
    found = distance(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5]))
    assert found.max_abs == 0.5
    assert found.max_rel == 0.125
    assert found.snr_db == pytest.approx(20)  # 25 to 0.25
    assert found.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3, 4.5)))


def test_equal_tensors_and_zeros() -> None:
    same = distance(torch.tensor([1, 255], dtype=torch.uint8), torch.tensor([1, 255], dtype=torch.uint8))
    assert (same.max_abs, same.snr_db) == (0, math.inf)
    assert distance(torch.zeros(2), torch.zeros(2)).cosine == 1
    assert distance(torch.zeros(2), torch.ones(2)).cosine == 0


def test_other_shapes_and_non_finite_values_are_infinitely_far() -> None:
    for actual in (torch.zeros(3), torch.tensor([1.0, math.nan])):
        found = distance(torch.ones(2), actual)
        assert (found.max_abs, found.snr_db) == (math.inf, -math.inf)
    assert logit_distance(torch.zeros(1, 4), torch.full((1, 4), math.nan)).mean_kl == math.inf
    assert logit_distance(torch.zeros(1, 4), torch.zeros(1, 5)).top1 == (0,)


def test_logits() -> None:
    ours = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    theirs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    found = logit_distance(ours, theirs)
    assert found.kl == pytest.approx((0.5 * math.log(3), 0))
    assert found.mean_kl == pytest.approx(0.25 * math.log(3))
    assert found.top1 == (0, 1)
    assert found.top5 == (1, 1)
    shifted = torch.arange(10.0)[None]
    assert logit_distance(shifted, shifted.flip(-1)).top5 == (0,)
