from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_folders import TEXTVQA_ASKED, textvqa_annotation, write_textvqa

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
from mobilevlm_host.evaluate.textvqa import asked_question, vqa_accuracy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_textvqa(tmp_path)
    return tmp_path


def test_items_have_ids_of_their_own(folder: Path) -> None:
    textvqa = load_benchmark("textvqa", folder)
    assert [item.id for item in textvqa.items] == ["a1#1", "a1#2", "b2#1", "a1#3"]
    assert {item.question_id for item in textvqa.items} == {"a1", "b2"}
    assert textvqa.items[0].prompt == TEXTVQA_ASKED[0]["text"]
    assert (textvqa.name, textvqa.max_new_tokens) == ("textvqa", 128)
    assert textvqa.missing() == ["a1.jpg", "b2.jpg"]


def test_score_by_hand(folder: Path) -> None:
    answers = {"a1#1": "NIKE", "a1#2": "23.", "b2#1": "go", "a1#3": "Adidas"}
    scores = load_benchmark("textvqa", folder).score(answers)
    # a1#1: people say nike 4 times (2 nike, Nike., the nike), adidas 6 times.
    #   Left out in turn: 4 times 3 others said nike, 6 times 4: min(1, 3/3) and min(1, 4/3): 1.
    # a1#2: "23" twice. Left out: 2 times 1 other, 8 times 2 others: (2 * 1/3 + 8 * 2/3) / 10 = (18/3) / 10 = 0.6.
    # b2#1: nobody. a1#3: six others at least: 1.
    assert scores.by_item == pytest.approx({"a1#1": 1.0, "a1#2": 0.6, "b2#1": 0.0, "a1#3": 1.0})
    assert scores.metrics == pytest.approx({"accuracy": 100 * 2.6 / 4})


@pytest.mark.parametrize(
    ("times", "earned"),
    [
        (0, 0.0),
        (1, (1 * 0 + 9 * 1 / 3) / 10),  # 0.3
        (2, (2 * 1 / 3 + 8 * 2 / 3) / 10),  # 0.6
        (3, (3 * 2 / 3 + 7 * 1) / 10),  # 0.9
        (4, 1.0),
        (10, 1.0),
    ],
)
def test_leave_one_out(times: int, earned: float) -> None:
    people = ["yes"] * times + ["no"] * (10 - times)
    assert vqa_accuracy("yes", people) == pytest.approx(earned)


def test_an_empty_answer_scores_like_annotators_who_gave_none(folder: Path) -> None:
    scores = load_benchmark("textvqa", folder).score({"a1#1": "", "a1#2": "the", "b2#1": "Stop!!", "a1#3": "nike"})
    assert scores.by_item == {"a1#1": 0.0, "a1#2": 0.0, "b2#1": 1.0, "a1#3": 1.0}


@pytest.mark.parametrize(
    "prompt",
    [
        "what is it?\nReference OCR token: A, B\nShort.",
        "Reference OCR token: A, B\nwhat is it?\nShort.",
        "what is it?\nShort.",
        "OCR tokens: A, B. Question: what is it? Short answer:",
    ],
)
def test_the_question_in_each_form_of_prompt(prompt: str) -> None:
    assert asked_question(prompt, "here") == "what is it?"


@pytest.mark.parametrize(
    "prompt", ["what is it?", "a\nb\nc", "OCR tokens: A. what is it?", "a\nReference OCR token: \n\nb"]
)
def test_another_form_of_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(EvaluateError, match=r"^here: text: got"):
        asked_question(prompt, "here")


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"data": []}, r"line 1: got a question that TextVQA_0.5.1_val.json lacks for 'a1'"),
        (
            {"data": [textvqa_annotation("a1", "What brand is it?", ["nike"] * 9)]},
            "entry 0: answers: got 9, expected 10",
        ),
        ({"data": [textvqa_annotation("a1", "What brand is it?", [1] * 10)]}, "entry 0: answers: got"),  # type: ignore[list-item]
        ({"data": [{"image_id": "a1"}]}, "entry 0: question: got nothing"),
        ({"set": "val"}, "data: got nothing, expected a list"),
    ],
)
def test_bad_annotations_are_named(folder: Path, annotations: Any, message: str) -> None:
    (folder / "TextVQA_0.5.1_val.json").write_text(json.dumps(annotations))
    with pytest.raises(EvaluateError, match=message):
        load_benchmark("textvqa", folder)
