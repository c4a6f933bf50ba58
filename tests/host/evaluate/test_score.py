"""``mvlm score``: answers made elsewhere, in both layouts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_folders import (
    MMBENCH_ROWS,
    TEXTVQA_ASKED,
    mmbench_row,
    mme_right_answers,
    write_gqa,
    write_mmbench,
    write_mme,
    write_textvqa,
)
from click.testing import CliRunner, Result
from openpyxl import load_workbook

from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark


@pytest.fixture
def gqa_folder(tmp_path: Path) -> Path:
    write_gqa(tmp_path)
    return tmp_path


def score(benchmark: str, folder: Path, lines: list[dict[str, Any]], *options: str) -> Result:
    predictions = folder / "answers.jsonl"
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["score", "--benchmark", benchmark, "--data", str(folder), "--predictions", str(predictions), *options]
    return CliRunner().invoke(main, command)


def metrics(result: Result) -> dict[str, float]:
    assert result.exit_code == 0, result.output
    found: dict[str, float] = json.loads(result.output)["metrics"]
    return found


KIT = [
    {"id": id, "answer": answer}
    for id, answer in zip(("201", "202", "203", "204"), ("no", "x", "blue", "x"), strict=True)
]
AUTHORS = [
    {
        "question_id": line["id"],
        "prompt": "?",
        "text": line["answer"],
        "answer_id": "q",
        "model_id": "m",
        "metadata": {},
    }
    for line in KIT
]


@pytest.mark.parametrize("lines", [KIT, AUTHORS, AUTHORS[::-1], KIT[:2] + AUTHORS[2:]])
def test_both_layouts_in_any_order(gqa_folder: Path, lines: list[dict[str, Any]]) -> None:
    assert metrics(score("gqa", gqa_folder, lines, "--json")) == {"accuracy": 50.0, "binary": 100.0, "open": 0.0}


def test_a_table_for_people(gqa_folder: Path) -> None:
    result = score("gqa", gqa_folder, KIT)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines() if line.strip("─ ")]
    assert lines[:5] == [
        ["gqa:", "4", "questions"],
        ["answers.jsonl"],
        ["accuracy", "50.00", "%"],
        ["binary", "100.00", "%"],
        ["open", "0.00", "%"],
    ]
    assert lines[5] == ["Answers:", str(gqa_folder / "answers.jsonl")]


def test_two_prediction_files_are_compared(gqa_folder: Path) -> None:
    other = gqa_folder / "phone.jsonl"
    changed = {"202": "woman", "203": "gray"}  # right now, and wrong now
    lines = [line | {"answer": changed.get(line["id"], line["answer"])} for line in KIT]
    other.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = json.loads(score("gqa", gqa_folder, KIT, "--against", str(other), "--json").output)
    assert (found["metrics"]["accuracy"], found["against"]["metrics"]["accuracy"]) == (50, 50)
    assert (found["against"]["difference"], found["against"]["gained"], found["against"]["lost"]) == (0, 1, 1)
    flips = [(flip["id"], flip["answer"], flip["against_answer"]) for flip in found["against"]["flips"]]
    assert flips == [("202", "x", "woman"), ("203", "blue", "gray")]
    shown = score("gqa", gqa_folder, KIT, "--against", str(other)).output
    assert "1 gained, 1 lost; McNemar's exact test: p = 1" in shown


def test_the_prompt_distinguishes_mme_questions(tmp_path: Path) -> None:
    write_mme(tmp_path)
    items = load_benchmark("mme", tmp_path).items
    right = mme_right_answers(items)
    lines = [{"question_id": item.question_id, "prompt": item.prompt, "text": right[item.id]} for item in items]
    assert metrics(score("mme", tmp_path, lines[::-1], "--json"))["perception"] == 2000
    # The second question of a picture answered as the first: double, and so refused rather than mixed up.
    lines[1]["prompt"] = lines[0]["prompt"]
    result = score("mme", tmp_path, lines)
    assert result.exit_code == 1
    assert "got more than one answer to 1 (commonsense_reasoning/0001.jpg#1), expected one for each" in result.output
    lines[1]["prompt"] = "Is it?"
    assert "got none for 1 (commonsense_reasoning/0001.jpg#2) of 56" in score("mme", tmp_path, lines).output


def test_a_textvqa_question_asked_twice(tmp_path: Path) -> None:
    write_textvqa(tmp_path)
    texts = ["nike", "23", "stop", "puma"]  # lines 0 and 3 ask the same: the first answer is the first's
    lines = [
        {"question_id": asked["question_id"], "prompt": asked["text"], "text": text}
        for asked, text in zip(TEXTVQA_ASKED, texts, strict=True)
    ]
    # 1, 0.6, 1 and 0, as in test_textvqa.
    assert metrics(score("textvqa", tmp_path, lines, "--json"))["accuracy"] == pytest.approx(65)
    result = score("textvqa", tmp_path, [*lines, lines[0]])
    assert "got more than one answer to 1 (a1#3)" in result.output


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (KIT[:1], "answers: got none for 3 (202, 203, 204) of 4 questions, expected one for each"),
        ([*KIT, *KIT], "got more than one answer to 4 (201, 202, 203, …), expected one for each"),
        ([*KIT, {"id": "9", "answer": ""}], "answers: got 1 (9) with unknown ids"),
        ([{"id": "201", "answer": 3}], "line 1: answer: got 3, expected text"),
        ([{"id": "201"}], "line 1: question_id: got None, expected an id"),
        ([{"question_id": "201"}], "line 1: text: got nothing, expected text"),
        ([], "got no lines, expected answers"),
    ],
)
def test_answers_that_are_refused(gqa_folder: Path, lines: list[dict[str, Any]], message: str) -> None:
    result = score("gqa", gqa_folder, lines)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1
    assert message in result.output


@pytest.fixture
def mmbench_folder(tmp_path: Path) -> Path:
    write_mmbench(tmp_path, [*MMBENCH_ROWS, mmbench_row(4, ["=1+1", "b"], "A", "red", "logic")])
    return tmp_path


MMBENCH = [
    {"question_id": index, "round_id": 0, "prompt": "?", "text": text, "options": [], "option_char": []}
    for index, text in ((1, "A"), (2, "=B\x01"), (3, ""), (1_000_001, "B"), (1_000_003, "A"), (4, "A"))
]


def test_the_submission_has_the_official_columns(mmbench_folder: Path) -> None:
    workbook = mmbench_folder / "up.xlsx"
    found = metrics(score("mmbench", mmbench_folder, MMBENCH, "--submission", str(workbook), "--json"))
    assert found["accuracy"] == 50  # 1 and 4 of four
    sheet = load_workbook(workbook).active
    rows = [list(values) for values in sheet.iter_rows(values_only=True)]
    assert rows[0] == ["index", "question", "A", "B", "C", "D", "prediction", "answer", "split"]
    assert rows[1] == [1, "Which\tone\nis 1?", "cat", "dog", None, None, "A", "A", "dev"]
    assert rows[2][6] == "=B"  # text, no formula, without the control character
    assert rows[3][6] is None
    assert rows[6][2] == "=1+1"
    assert {cell.data_type for cell in sheet[7]} == {"n", "s"}
    assert [values[0] for values in rows[1:]] == [1, 2, 3, 1_000_001, 1_000_003, 4]
    assert sorted(path.name for path in mmbench_folder.iterdir()) == [
        "answers.jsonl",
        "mmbench_dev_en_20231003.tsv",
        "up.xlsx",
    ]


def test_submissions_that_are_refused(mmbench_folder: Path, gqa_folder: Path) -> None:
    taken = mmbench_folder / "taken.xlsx"
    taken.write_text("mine")
    for path, message in (
        (taken, "already exists, expected a new file"),
        (mmbench_folder / "up.csv", "got .csv, expected a file name that ends in .xlsx"),
        (mmbench_folder / "none" / "up.xlsx", "none: no such folder"),
    ):
        result = score("mmbench", mmbench_folder, MMBENCH, "--submission", str(path))
        assert (result.exit_code, message in result.output) == (1, True), result.output
    assert taken.read_text() == "mine"
    result = score("gqa", gqa_folder, KIT, "--submission", "up.xlsx")
    assert (result.exit_code, "--submission is only for MMBench" in result.output) == (2, True)


def test_a_submission_without_openpyxl(mmbench_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    result = score("mmbench", mmbench_folder, MMBENCH, "--submission", str(mmbench_folder / "up.xlsx"))
    assert result.exit_code == 1
    assert "pip install 'mobilevlm-kit[mmbench]'" in result.output
