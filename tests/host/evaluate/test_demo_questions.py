"""The demo's held-out questions as a benchmark."""

from __future__ import annotations

import pytest

from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS
from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate import demo_questions as demo
from mobilevlm_host.evaluate.benchmark import first_pictures


def test_four_questions_per_held_out_scene() -> None:
    # Training and mvlm demo look at the first held-out scenes.
    assert set(demo.SEEDS) < set(HELD_OUT_SEEDS)
    assert not set(demo.SEEDS) & set(HELD_OUT_SEEDS[:50_000])
    asked = demo.load(42)
    assert len({item.id for item in asked.items}) == len(asked.items) == 42
    pictures = list(dict.fromkeys(item.picture for item in asked.items))
    assert [int(picture) for picture in pictures] == list(demo.SEEDS[:11])
    assert (asked.missing(), asked.image(pictures[0]).mode) == ((), "RGB")
    assert demo.load(42) == asked
    assert asked.about(first_pictures(asked.items, 2)).items == asked.items[:8]


def test_score_by_kind() -> None:
    asked = demo.load(40)
    truths = {item.id: asked.truths[item.id] for item in asked.items}
    perfect = {id: f" {qa.answer}\n" for id, qa in truths.items()}
    assert set(asked.score(perfect).metrics.values()) == {100.0}
    counts = [id for id, qa in truths.items() if qa.kind == "count"]
    wrong = counts[0]
    scores = asked.score(perfect | {wrong: "many"})
    assert scores.metrics["right"] == pytest.approx(97.5)
    assert scores.metrics["count"] == pytest.approx(100 - 100 / len(counts))
    assert [id for id, earned in scores.by_item.items() if earned != 1] == [wrong]
    with pytest.raises(EvaluateError, match="got none for 1"):
        asked.score({id: answer for id, answer in perfect.items() if id != wrong})
