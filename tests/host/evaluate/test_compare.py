"""Comparisons of two systems, against numbers worked out another way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mobilevlm_host.evaluate.benchmark import Item, Scores
from mobilevlm_host.evaluate.compare import Comparison, compare
from mobilevlm_host.evaluate.evaluation_report import print_evaluation, to_json
from mobilevlm_host.evaluate.run_benchmark import Evaluation


def _evaluation(name: str, earned: list[float], **answers: str) -> Evaluation:
    said = {str(index): answers.get(f"a{index}", f"{value}") for index, value in enumerate(earned)}
    scores = Scores({"accuracy": 100 * sum(earned) / len(earned)}, {str(i): value for i, value in enumerate(earned)})
    return Evaluation(name, "made", Path(f"{name}.jsonl"), said, scores, asked=0)


def _compared(ours: list[float], theirs: list[float], *, a_picture: int = 1) -> Comparison:
    items = [Item(str(index), f"p{index // a_picture}", "?") for index in range(len(ours))]
    return compare(items, _evaluation("a", ours), _evaluation("b", theirs))


def _pairs(both: int, gained: int, lost: int, neither: int) -> tuple[list[float], list[float]]:
    ours = [1.0] * (both + gained) + [0.0] * (lost + neither)
    theirs = [1.0] * both + [0.0] * gained + [1.0] * lost + [0.0] * neither
    return ours, theirs


def test_mcnemar_by_hand() -> None:
    found = _compared(*_pairs(50, 10, 2, 38))
    assert (found.gained, found.lost, len(found.flips), found.changed) == (10, 2, 12, 12)
    assert found.difference == pytest.approx(8.0)
    # Two-sided binomial: 2 · (C(12, 0) + C(12, 1) + C(12, 2)) / 2¹² = 158 / 4096.
    assert found.p_value == pytest.approx(158 / 4096)
    assert _compared(*_pairs(5, 0, 1, 0)).p_value == 1.0
    assert _compared(*_pairs(90, 3, 3, 4)).p_value == pytest.approx(1.0)
    assert _compared(*_pairs(0, 0, 10, 0)).p_value == pytest.approx(2 / 1024)


def test_the_interval_matches_the_normal_approximation() -> None:
    ours, theirs = _pairs(700, 120, 60, 120)
    found = _compared(ours, theirs)
    mean = (120 - 60) / 1000
    sd = math.sqrt((180 / 1000) - mean**2)
    low, high = found.interval or (0, 0)
    assert low == pytest.approx(100 * (mean - 1.96 * sd / math.sqrt(1000)), abs=0.15)
    assert high == pytest.approx(100 * (mean + 1.96 * sd / math.sqrt(1000)), abs=0.15)
    assert _compared(ours, theirs) == found  # seeded


def test_questions_about_one_picture_count_as_one_observation() -> None:
    ours = [float(value) for value in [1, 1, 0, 0] * 50 for _ in range(4)]
    theirs = [float(value) for value in [1, 0, 1, 0] * 50 for _ in range(4)]
    together, apart = _compared(ours, theirs, a_picture=4), _compared(ours, theirs)
    assert (together.pictures, apart.pictures) == (200, 800)
    wide, narrow = (each.interval[1] - each.interval[0] for each in (together, apart) if each.interval)
    assert wide / narrow == pytest.approx(2, rel=0.1)  # √4


def test_pictures_with_more_questions_weigh_more() -> None:
    items = [Item(str(index), "big" if index < 9 else "small", "?") for index in range(10)]
    found = compare(items, _evaluation("a", [1.0] * 9 + [0.0]), _evaluation("b", [0.0] * 9 + [1.0]))
    assert found.difference == pytest.approx(80.0)
    assert found.interval == (-100.0, 100.0)  # small twice, big twice


def test_graded_answers_flip_by_their_score() -> None:
    found = _compared([0.3, 0.6, 1.0, 0.0], [0.6, 0.6, 0.9, 0.3])
    assert [(flip.item.id, flip.earned, flip.against_earned) for flip in found.flips] == [
        ("0", 0.3, 0.6),
        ("2", 1.0, 0.9),
        ("3", 0.0, 0.3),
    ]
    assert (found.gained, found.lost) == (1, 2)


def test_equal_systems_and_a_single_picture() -> None:
    found = _compared([1.0, 0.0], [1.0, 0.0])
    assert (found.difference, found.interval, found.p_value, found.flips) == (0.0, (0.0, 0.0), 1.0, ())
    assert _compared([1.0, 0.0], [0.0, 0.0], a_picture=2).interval is None


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    items = [Item(str(index), "p", f"How\nmany [{index}]?") for index in range(30)]
    ours, theirs = _evaluation("a.mvlm", [1.0] * 30, a0="[/red] two"), _evaluation("b", [0.0] * 30)
    found = compare(items, ours, theirs)
    print_evaluation(ours, [(theirs, found)])
    shown = capsys.readouterr().out
    assert "the first 20 of 30 (all with --json)" in shown
    assert "How many [0]?" in shown
    assert "[/red] two" in shown
    assert "+100.00 percentage points" in " ".join(shown.split())
    assert "30 gained, 0 lost" in shown
    values = json.loads(json.dumps(to_json(ours, [(theirs, found)])))
    assert len(values["against"]["flips"]) == 30
    assert values["against"]["flips"][0] == {
        "id": "0", "picture": "p", "prompt": "How\nmany [0]?", "answer": "[/red] two", "earned": 1.0, "against_answer": "0.0",
        "against_earned": 0.0,
    }  # fmt: skip
    assert (values["metrics"], values["against"]["metrics"]) == ({"accuracy": 100.0}, {"accuracy": 0.0})
