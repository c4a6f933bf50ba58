"""TextVQA: read the text in an image; the figure is VQA accuracy with ten people's answers as the reference.

Source: the authors' ``scripts/benchmark/textvqa.sh``, LLaVA's ``eval_textvqa.py`` (which maps prompts to annotations) and MMF's
``TextVQAAccuracyEvaluator``. As in the authors' questions, prompts contain OCR tokens as a reference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers, percent
from mobilevlm_host.evaluate.data_files import (
    DataRecord,
    FolderBenchmark,
    ImageFolder,
    numbered,
    read_json,
    read_json_lines,
    read_json_list,
)
from mobilevlm_host.evaluate.vqa_answer import normal_answer

QUESTIONS, ANNOTATIONS = "llava_textvqa_val_v051_ocr.jsonl", "TextVQA_0.5.1_val.json"
PEOPLE = 10


@dataclass(frozen=True, kw_only=True)
class TextVQA(FolderBenchmark):
    """The validation questions (5,000 in the official files); ``people``: id → the ten answers, in normal form."""

    people: Mapping[str, Sequence[str]]
    name: str = "textvqa"
    max_new_tokens: int = 128

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``accuracy`` in percent: the mean of the questions' VQA accuracies."""
        given = given_answers(self.items, answers)
        earned = {id: vqa_accuracy(normal_answer(answer), self.people[id]) for id, answer in given.items()}
        return Scores({"accuracy": percent(earned.values())}, earned)


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """The score of ``answer``: the mean, over leaving out each person, of min(1, k / 3) for k other people with the same answer.

    Both must be in normal form.
    """
    same = Counter(people)[answer]
    left_out = [same - (person == answer) for person in people]
    return sum(min(1.0, others / 3) for others in left_out) / len(people)


def load(folder: Path) -> Benchmark:
    """Read ``folder``: LLaVA's questions, TextVQA's annotations and ``train_images/``.

    Raises:
        EvaluateError: a file is missing or malformed, or a question has no annotation.
    """
    asked = read_json_lines(folder / QUESTIONS, "LLaVA's TextVQA questions, one JSON object per line")
    what = "TextVQA's annotations: an object with a list, data"
    whole = DataRecord(str(folder / ANNOTATIONS), read_json(folder / ANNOTATIONS, dict, what))
    annotations = {
        (record.id("image_id"), record.get("question", str).lower()): record
        for record in read_json_list(folder / ANNOTATIONS, what, whole.get("data", list))
    }
    question_ids = [record.id("question_id") for record in asked]
    items, people = [], {}
    for id, question_id, record in zip(numbered(question_ids), question_ids, asked, strict=True):
        prompt = record.get("text", str)
        annotation = annotations.get((question_id, asked_question(prompt, record.where).lower()))
        if annotation is None:
            raise EvaluateError(f"{record.where}: got a question that {ANNOTATIONS} lacks for {question_id!r}")
        items.append(Item(id, record.get("image", str), prompt, question_id))
        people[id] = _people(annotation)
    return TextVQA(items=items, people=people, images=ImageFolder(folder / "train_images"))


def asked_question(prompt: str, where: str) -> str:
    """The question alone in ``prompt``: its line before or after the OCR tokens, in LLaVA's formats.

    Raises:
        EvaluateError: the prompt has another form; ``where`` is its location, for the message.
    """
    lines = prompt.split("\n")
    if prompt.startswith("OCR tokens: "):
        if found := re.search(r"Question: (.*?) Short answer:", prompt, re.DOTALL):
            return found.group(1)
    elif "Reference OCR token: " in prompt and len(lines) == 3:
        return lines[1] if prompt.startswith("Reference OCR token:") else lines[0]
    elif len(lines) == 2:
        return lines[0]
    raise EvaluateError(f"{where}: text: got {prompt!r:.60}, expected a question, its OCR tokens and how to answer")


def _people(annotation: DataRecord) -> list[str]:
    answers = annotation.texts("answers")
    if len(answers) != PEOPLE:
        raise EvaluateError(f"{annotation.where}: answers: got {len(answers)}, expected {PEOPLE}")
    return [normal_answer(answer) for answer in answers]
