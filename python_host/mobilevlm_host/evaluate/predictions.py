"""Read answers from files of ``mvlm evaluate``, or from elsewhere.

The latter have the kit's lines without its header (``id``, ``answer``) or those of the authors' scripts (``question_id``,
``prompt``, ``text``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.answer_file import Header, has_header, read_answer_file
from mobilevlm_host.evaluate.benchmark import Benchmark, Evaluation, answered_pictures, items_about, some
from mobilevlm_host.evaluate.data_files import DataRecord, read_json_lines


def answered_part(whole: Benchmark, paths: Sequence[Path]) -> Benchmark:
    """The part of ``whole`` that the files at ``paths`` can be scored on: all of it, unless a file of ``mvlm evaluate`` lacks answers.
    Then it is the images for which each of these files answers all questions.

    Raises:
        EvaluateError: a file is malformed or answers other questions, or no image has all its answers.
    """
    part = whole
    for path in filter(has_header, paths):
        header, answers = read_answer_file(path)
        header.require_questions(path, Header.of(whole, "", ""))
        pictures = answered_pictures(part.items, answers)
        if not pictures:
            raise EvaluateError(f"{path}: got all answers for no image, expected them for at least one")
        if len(items_about(part.items, pictures)) < len(part.items):
            part = part.about(pictures)
    return part


def read_evaluation(path: Path, whole: Benchmark, benchmark: Benchmark) -> Evaluation:
    """The answers in ``path`` to ``benchmark``, which is the ``whole`` or its first images, and their scores.

    Raises:
        EvaluateError: the file is missing or malformed, answers other questions, lacks an answer, or has two to a question.
    """
    system = path.name
    if has_header(path):
        header, answers = read_answer_file(path)
        header.require_questions(path, Header.of(whole, "", ""))
        system = header.system
        if left := sum(item.id not in answers for item in benchmark.items):
            count = len(benchmark.items)
            raise EvaluateError(
                f"{path}: got answers to {count - left} of {count} questions, expected all; finish that run first"
            )
    else:
        answers = read_answers(path, whole)
    if benchmark is not whole:
        asked = {item.id for item in benchmark.items}
        answers = {id: answer for id, answer in answers.items() if id in asked}
    scores = benchmark.score(answers)
    return Evaluation(system, whole.name, path, {id: answers[id] for id in scores.by_item}, scores, asked=0)


def read_answers(path: Path, benchmark: Benchmark) -> dict[str, str]:
    """Item id → answer, from a JSON Lines file with one answer per line, in any order.

    Lines of the authors' scripts are matched by ``question_id``, or by ``question_id`` and ``prompt`` where items share an id.
    ``benchmark.score`` checks that every item has an answer, and every answer an item.

    Raises:
        EvaluateError: the file is missing or malformed, or has two answers to a question; the message counts and names them.
    """
    asked: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in benchmark.items:
        if item.question_id is not None:
            asked[item.question_id, item.prompt].append(item.id)
    answers: dict[str, str] = {}
    double = []
    for record in read_json_lines(path, "answers, one JSON object per line"):
        id, answer = _answer(record, asked)
        if id in answers:
            double.append(id)
        answers[id] = answer
    if double:
        raise EvaluateError(f"{path}: got more than one answer to {some(double)}, expected one for each")
    return answers


def _answer(record: DataRecord, asked: dict[tuple[str, str], list[str]]) -> tuple[str, str]:
    if "id" in record.values and "answer" in record.values:
        return record.id("id"), record.get("answer", str)
    question_id, answer = record.id("question_id"), record.get("text", str)
    ids = asked.get((question_id, record.get("prompt", str))) if asked else None
    if not ids:
        return question_id, answer
    # If a question about an image occurs twice, answers are in the questions' order.
    return (ids.pop(0) if len(ids) > 1 else ids[0]), answer
