"""Compare two systems on the same questions: the difference in scores, its significance, and the answers that flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap

from mobilevlm_host.evaluate.benchmark import Evaluation, Item

_RESAMPLES = 9999
_CONFIDENCE = 0.95
_BATCH_VALUES = 4_000_000  # the most values that the bootstrap holds in memory at once


@dataclass(frozen=True)
class Flip:
    """A question on which the two systems score differently; scores are from 0 to 1."""

    item: Item
    answer: str
    against: str
    earned: float
    against_earned: float


@dataclass(frozen=True)
class Comparison:
    """One system compared with another.

    ``difference`` is the mean score per question minus the other's, in percentage points; ``interval`` its 95 % confidence interval,
    None if there is only one image; ``gained`` and ``lost`` count the questions with a higher and a lower score, ``p_value`` is from
    the exact sign test on them (McNemar's exact test if scores are 0 or 1); ``changed`` counts answers with another text, correct or
    not.
    """

    difference: float
    interval: tuple[float, float] | None
    pictures: int
    gained: int
    lost: int
    p_value: float
    changed: int
    flips: tuple[Flip, ...]


def compare(items: Sequence[Item], system: Evaluation, against: Evaluation, *, seed: int = 0) -> Comparison:
    """Compare the answers of two systems to ``items``, question by question. ``seed`` is for the bootstrap.

    Questions about one image aren't independent, so images are resampled, each with all its questions.
    """
    ours, theirs = system.scores.by_item, against.scores.by_item
    flips = tuple(
        Flip(item, system.answers[item.id], against.answers[item.id], ours[item.id], theirs[item.id])
        for item in items
        if ours[item.id] != theirs[item.id]
    )
    gained = sum(flip.earned > flip.against_earned for flip in flips)
    differences = {item.id: ours[item.id] - theirs[item.id] for item in items}
    pictures = list(dict.fromkeys(item.picture for item in items))
    return Comparison(
        difference=100 * sum(differences.values()) / len(items),
        interval=_interval(items, differences, pictures, seed),
        pictures=len(pictures),
        gained=gained,
        lost=len(flips) - gained,
        p_value=float(binomtest(gained, len(flips)).pvalue) if flips else 1.0,
        changed=sum(system.answers[item.id] != against.answers[item.id] for item in items),
        flips=flips,
    )


def _interval(
    items: Sequence[Item], differences: Mapping[str, float], pictures: Sequence[str], seed: int
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean difference over ``pictures``, in percentage points."""
    if len(pictures) < 2:
        return None
    place = {picture: index for index, picture in enumerate(pictures)}
    sums, counts = np.zeros(len(pictures)), np.zeros(len(pictures))
    for item in items:
        sums[place[item.picture]] += differences[item.id]
        counts[place[item.picture]] += 1
    found = bootstrap(
        (sums, counts),
        lambda sums, counts, axis: sums.sum(axis) / counts.sum(axis),
        paired=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(pictures)),
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return 100 * float(found.low), 100 * float(found.high)
