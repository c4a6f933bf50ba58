"""Answers kept as they come: whose they are, what a kill leaves, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate import demo_questions as demo
from mobilevlm_host.evaluate.answer_file import AnswerFile, Header, has_header, read_answer_file

HEADER = Header.of(demo.load(8), "int4.mvlm", "a" * 64)


def _begin(path: Path, *answers: tuple[str, str]) -> Path:
    with AnswerFile(path, HEADER) as file:
        for id, answer in answers:
            file.add(id, answer)
    return path


def test_answers_are_read_back_unchanged(tmp_path: Path) -> None:
    told = [("1", "a red circle"), ("2", "é\n\u2028\"'\\"), ("3", "")]
    path = _begin(tmp_path / "a.jsonl", *told)
    assert read_answer_file(path) == (HEADER, dict(told))
    with AnswerFile(path, HEADER) as file:
        assert file.answers == dict(told)
        file.add("4", "more")
    assert [json.loads(line).get("id") for line in path.read_bytes().split(b"\n")[:-1]] == [None, "1", "2", "3", "4"]


def test_a_damaged_answer_is_not_scored(tmp_path: Path) -> None:
    path = _begin(tmp_path / "a.jsonl", ("1", "a red circle"), ("2", "two"))
    path.write_bytes(path.read_bytes().replace(b"a red circle", b"a rad circle"))
    for opens in (read_answer_file, lambda damaged: AnswerFile(damaged, HEADER)):
        with pytest.raises(EvaluateError, match=r"a\.jsonl, line 2: got an answer to '1' with a wrong CRC-32,"):
            opens(path)
    lines = [line.split(b', "crc32"')[0] + b"}" for line in path.read_bytes().splitlines()]
    path.write_bytes(path.read_bytes().splitlines()[0] + b"\n" + b"\n".join(lines[1:]) + b"\n")
    assert read_answer_file(path)[1] == {"1": "a rad circle", "2": "two"}  # from before answers had sums


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = _begin(tmp_path / "a.jsonl", ("1", "a"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert has_header(path)
    assert read_answer_file(path) == (HEADER, {"1": "a"})


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_truncated_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = _begin(tmp_path / "a.jsonl", ("1", "a"), ("2", "the last answer, cut short"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_answer_file(path)[1] == {"1": "a"}
    with AnswerFile(path, HEADER) as file:
        assert file.answers == {"1": "a"}
        file.add("2", "again")
    assert read_answer_file(path)[1] == {"1": "a", "2": "again"}


@pytest.mark.parametrize("length", [0, 1, 30])
def test_a_truncated_first_line_starts_a_new_file(tmp_path: Path, length: int) -> None:
    path = _begin(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes()[:length])
    _begin(path, ("1", "a"))
    assert read_answer_file(path) == (HEADER, {"1": "a"})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (replace(HEADER, benchmark="gqa"), "got answers to demo, expected gqa"),
        (
            Header.of(demo.load(9), "int4.mvlm", "a" * 64),
            r"got answers to other questions of demo \(8, .*expected 9 \(",
        ),
        (
            replace(HEADER, system="int8.mvlm", system_sha256="b" * 64),
            r"answers of int4.mvlm \(a{12}…\), expected int8",
        ),
    ],
)
def test_another_runs_file_is_refused_and_left_alone(tmp_path: Path, header: Header, message: str) -> None:
    path = _begin(tmp_path / "a.jsonl", ("1", "a"))
    path.write_bytes(path.read_bytes() + b'{"id": "2", "ans')
    before = path.read_bytes()
    with pytest.raises(EvaluateError, match=message):
        AnswerFile(path, header)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a user's notes", "got another kind of file, expected predictions"),
        (b'{"id": "1", "answer": "a"}\n', "got another kind of file, expected predictions"),
        (b'{"benchmark": 3, "questions": "8"}\n', "got another kind of file, expected predictions"),
        (b"[" * 100_000 + b"\n", "got another kind of file, expected predictions"),
    ],
)
def test_a_file_that_is_not_predictions_is_left_alone(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(EvaluateError, match=message):
        AnswerFile(path, HEADER)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "1", "answer": "b"}', "line 3: got a second answer to 1"),
        (b'{"id": "2"}', "line 3: got .* expected an object with id and answer"),
        (b'{"id": 2, "answer": "b"}', "line 3: got .* expected an object with id and answer"),
        (b"", "line 3: got b'', expected an object"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    path = _begin(tmp_path / "a.jsonl", ("1", "a"))
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(EvaluateError, match=message):
        read_answer_file(path)


def test_nothing_is_counted_twice_and_one_run_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with AnswerFile(path, HEADER) as file:
        file.add("1", "a")
        with pytest.raises(EvaluateError, match="got a second answer to 1"):
            file.add("1", "a")
        with pytest.raises(EvaluateError, match="in use by another run"):
            AnswerFile(path, HEADER)
    assert read_answer_file(path)[1] == {"1": "a"}
    with pytest.raises(EvaluateError, match="No such file or directory, expected a predictions file"):
        read_answer_file(tmp_path / "none.jsonl")
    with pytest.raises(EvaluateError, match="expected a path that can be written"):
        AnswerFile(tmp_path / "no" / "folder.jsonl", HEADER)
