from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_folders import mme_right_answers, write_mme

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import first_pictures
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
from mobilevlm_host.evaluate.mme import yes_or_no


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_mme(tmp_path)
    return tmp_path


def test_items(folder: Path) -> None:
    mme = load_benchmark("mme", folder)
    assert len(mme.items) == 14 * 4
    assert [item.id for item in mme.items[:3]] == [
        f"commonsense_reasoning/{name}" for name in ("0001.jpg#1", "0001.jpg#2", "0002.jpg#1")
    ]
    assert (
        mme.items[0].prompt == "Is it commonsense_reasoning 0001?\nAnswer the question using a single word or phrase."
    )
    assert (mme.name, mme.max_new_tokens) == ("mme", 128)
    assert len(mme.missing()) == 28
    assert "scene/images/0001.jpg" in mme.missing()


def test_all_correct_scores_2800(folder: Path) -> None:
    metrics = load_benchmark("mme", folder).score(mme_right_answers(load_benchmark("mme", folder).items)).metrics
    assert list(metrics)[:2] == ["perception", "cognition"]
    # Each subtask: accuracy 100 + accuracy+ 100. Ten are perception, four cognition.
    assert (metrics["perception"], metrics["cognition"], metrics["scene"]) == (2000, 800, 200)


def test_score_by_hand(folder: Path) -> None:
    answers = mme_right_answers(load_benchmark("mme", folder).items) | {
        "count/0001.jpg#1": "no",  # wrong
        "OCR/0001.jpg#1": "It is",  # neither
        "OCR/0002.jpg#2": "yes",  # wrong
        "code_reasoning/0001.jpg#1": "",
        "code_reasoning/0001.jpg#2": "Absolutely no",  # "abso": neither
    }
    scores = load_benchmark("mme", folder).score(answers)
    # count: 3 of 4 answers, 1 of 2 pictures: 75 + 50 = 125. OCR: 2 of 4, 0 of 2: 50 + 0. code_reasoning: 2 of 4, 1 of 2: 50 + 50.
    expected = {"count": 125, "OCR": 50, "code_reasoning": 100, "color": 200}
    assert {name: scores.metrics[name] for name in expected} == expected
    assert scores.metrics["count accuracy"] == 75
    assert scores.metrics["count accuracy+"] == 50
    assert scores.metrics["OCR accuracy+"] == 0
    assert scores.metrics["perception"] == 2000 - 75 - 150
    assert scores.metrics["cognition"] == 800 - 100
    assert scores.by_item["count/0001.jpg#1"] == 0
    assert sum(scores.by_item.values()) == 56 - 5


@pytest.mark.parametrize(
    ("answer", "taken_for"),
    [
        ("Yes", "yes"),
        ("YES, it is", "yes"),
        ("no", "no"),
        ("No.", "no"),
        ("Not", "no"),
        ("Know", "no"),  # no inside another word, as the official scorer has it
        ("eyes", "yes"),
        ("yes no", "yes"),
        ("'yes'", "yes"),
        ("It's yes", "other"),
        ("", "other"),
    ],
)
def test_how_an_answer_is_normalized(answer: str, taken_for: str) -> None:
    assert yes_or_no(answer) == taken_for


def test_an_image_with_one_question_is_refused(folder: Path) -> None:
    file = folder / "llava_mme.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *lines[2:]]))
    with pytest.raises(EvaluateError, match=r"line 1: got 1 questions about commonsense_reasoning/0001, expected two"):
        load_benchmark("mme", folder)


def test_a_missing_subtask_is_named(folder: Path) -> None:
    file = folder / "llava_mme.jsonl"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "OCR" not in line))
    with pytest.raises(EvaluateError, match=r"llava_mme.jsonl: got no questions of OCR, expected all subtasks"):
        load_benchmark("mme", folder)


def test_bad_annotations_are_named(folder: Path) -> None:
    file = folder / "images/scene/questions_answers_YN/0001.txt"
    right = file.read_text()
    file.write_text(right.replace("\tNo", "\tMaybe"))
    with pytest.raises(EvaluateError, match=r"0001.txt, line 2: got .*, expected a question, a tab and Yes or No"):
        load_benchmark("mme", folder)
    file.write_text(right.replace("Is it scene", "Is it another scene"))
    with pytest.raises(EvaluateError, match=r"text: got 'Is it scene 0001\?', expected a question of .*0001.txt"):
        load_benchmark("mme", folder)
    file.unlink()
    with pytest.raises(EvaluateError, match=r"0001.txt: No such file"):
        load_benchmark("mme", folder)


def test_an_unknown_question_id_is_named(folder: Path) -> None:
    file = folder / "llava_mme.jsonl"
    file.write_text(file.read_text().replace("code_reasoning/0001.jpg", "reasoning/0001.jpg"))
    with pytest.raises(EvaluateError, match=r"question_id: got 'reasoning/0001.jpg', expected SUBTASK/PICTURE"):
        load_benchmark("mme", folder)


def test_limited_to_its_first_images(folder: Path) -> None:
    mme = load_benchmark("mme", folder).about(first_pictures(load_benchmark("mme", folder).items, 1))
    assert [item.id for item in mme.items] == ["commonsense_reasoning/0001.jpg#1", "commonsense_reasoning/0001.jpg#2"]
    scores = mme.score({"commonsense_reasoning/0001.jpg#1": "Yes", "commonsense_reasoning/0001.jpg#2": "Yes"})
    assert scores.metrics == {
        "cognition": 50,  # one of two answers, none of one picture
        "commonsense_reasoning": 50,
        "commonsense_reasoning accuracy": 50,
        "commonsense_reasoning accuracy+": 0,
    }
