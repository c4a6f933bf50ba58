"""Distances between two tensors, and between two distributions over the vocabulary."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Distance:
    """``actual`` compared with ``reference``: the largest difference, absolute and relative to the reference's largest value;
    the cosine of the two as vectors; the signal-to-noise ratio in dB (infinite if they are equal).
    """

    max_abs: float
    max_rel: float
    cosine: float
    snr_db: float


def distance(reference: Tensor, actual: Tensor) -> Distance:
    """Compare two tensors of one shape; NaN values or another shape give an infinite distance."""
    if reference.shape != actual.shape or not bool(torch.isfinite(actual.float()).all()):
        return Distance(math.inf, math.inf, 0.0, -math.inf)
    wide, noise = reference.double().flatten(), (actual.double() - reference.double()).flatten()
    got = wide + noise
    peak, error = float(noise.abs().max()), float(noise.square().sum())
    signal, norms = float(wide.square().sum()), float(wide.norm() * got.norm())
    return Distance(
        max_abs=peak,
        max_rel=peak / max(float(wide.abs().max()), 1e-12),
        cosine=float(wide @ got) / norms if norms else float(error == 0),
        snr_db=math.inf if error == 0 else 10 * math.log10(max(signal, 1e-30) / error),
    )


@dataclass(frozen=True)
class LogitDistance:
    """Two sets of logits, position by position: Kullback-Leibler divergence from the reference in nats; 1 where the most likely
    token is the same, else 0; and the fraction of the five most likely tokens that is the same.
    """

    kl: tuple[float, ...]
    top1: tuple[float, ...]
    top5: tuple[float, ...]

    @property
    def mean_kl(self) -> float:
        """The mean over positions."""
        return sum(self.kl) / len(self.kl)


def logit_distance(reference: Tensor, actual: Tensor) -> LogitDistance:
    """Compare logits [T, V]; NaN values or another shape give an infinite distance."""
    count = len(reference)
    if reference.shape != actual.shape or not bool(torch.isfinite(actual).all()):
        return LogitDistance((math.inf,) * count, (0.0,) * count, (0.0,) * count)
    ours, theirs = (logits.double().log_softmax(-1) for logits in (reference, actual))
    kl = (ours.exp() * (ours - theirs)).sum(-1).clamp(min=0)
    k = min(5, reference.shape[-1])
    top_ours, top_theirs = (logits.topk(k, dim=-1).indices for logits in (reference, actual))
    shared = (top_ours[:, :, None] == top_theirs[:, None, :]).any(-1).double().mean(-1)
    same = (top_ours[:, 0] == top_theirs[:, 0]).double()
    return LogitDistance(tuple(kl.tolist()), tuple(same.tolist()), tuple(shared.tolist()))
