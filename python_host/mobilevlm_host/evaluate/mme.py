"""MME: two yes/no questions about each image, one for each answer; the paper's figure is the perception score (of 2,000).

Source: the authors' ``scripts/benchmark/mme.sh``, LLaVA's ``convert_answer_to_mme.py`` (which maps prompts to annotations) and MME's
official ``calculation.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers, percent
from mobilevlm_host.evaluate.data_files import (
    DataRecord,
    FolderBenchmark,
    ImageFolder,
    numbered,
    read_json_lines,
    read_text,
)

QUESTIONS = "llava_mme.jsonl"
PERCEPTION = (
    "existence",
    "count",
    "position",
    "color",
    "posters",
    "celebrity",
    "scene",
    "landmark",
    "artwork",
    "OCR",
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
_HOW_TO_ANSWER = "Answer the question using a single word or phrase."
_YES_OR_NO = "Please answer yes or no."


@dataclass(frozen=True)
class MMETruth:
    """The ``answer`` to a question, "yes" or "no"; ``pair`` identifies the two questions about an image."""

    subtask: str
    pair: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class MME(FolderBenchmark):
    """The questions of the fourteen subtasks (2,374 in the official files)."""

    truths: Mapping[str, MMETruth]
    name: str = "mme"
    max_new_tokens: int = 128

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``perception``, ``cognition`` and their subtasks: each the sum of its accuracy and accuracy+ (both questions about an image
        correct) in percent, which follow.
        """
        given = given_answers(self.items, answers)
        right = {id: float(yes_or_no(answer) == self.truths[id].answer) for id, answer in given.items()}
        pairs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for id, earned in right.items():
            pairs[self.truths[id].subtask][self.truths[id].pair].append(earned)
        parts: dict[str, float] = {}
        sums: dict[str, float] = {}
        for subtask, of_picture in pairs.items():
            accuracy = percent([earned for pair in of_picture.values() for earned in pair])
            both = percent([min(pair) for pair in of_picture.values()])
            parts |= {f"{subtask} accuracy": accuracy, f"{subtask} accuracy+": both}
            sums[subtask] = accuracy + both
        totals = {
            name: sum(sums.get(subtask, 0.0) for subtask in subtasks)
            for name, subtasks in (("perception", PERCEPTION), ("cognition", COGNITION))
            if sums.keys() & set(subtasks)
        }
        return Scores(totals | sums | parts, right, plain=frozenset(totals | sums))


def yes_or_no(answer: str) -> str:
    """The official scorer's reading of ``answer``: yes or no if its first four characters contain the word, else "other"."""
    start = answer.lower()[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def load(folder: Path) -> Benchmark:
    """Read ``folder``: LLaVA's questions, and MME's release as ``images/``: SUBTASK with images and annotations (.txt) together, or
    in ``SUBTASK/images`` and ``SUBTASK/questions_answers_YN``.

    Raises:
        EvaluateError: a file is missing or malformed, a question has no annotation, an image doesn't have two questions, or a
            subtask is missing.
    """
    asked = read_json_lines(folder / QUESTIONS, "LLaVA's MME questions, one JSON object per line")
    annotations = _Annotations(folder / "images")
    question_ids = [record.id("question_id") for record in asked]
    items: list[Item] = []
    truths: dict[str, MMETruth] = {}
    pairs: dict[str, list[DataRecord]] = defaultdict(list)
    for id, question_id, record in zip(numbered(question_ids), question_ids, asked, strict=True):
        subtask, pair = question_id.split("/")[0], _pair(question_id)
        if subtask not in PERCEPTION + COGNITION:
            raise EvaluateError(f"{record.where}: question_id: got {question_id!r}, expected SUBTASK/PICTURE")
        items.append(Item(id, record.get("image", str), record.get("text", str), question_id))
        truths[id] = MMETruth(subtask, pair, annotations.answer(pair, record))
        pairs[pair].append(record)
    for pair, records in pairs.items():
        if len(records) != 2:
            raise EvaluateError(f"{records[-1].where}: got {len(records)} questions about {pair}, expected two")
    present = {truth.subtask for truth in truths.values()}
    if absent := [subtask for subtask in PERCEPTION + COGNITION if subtask not in present]:
        raise EvaluateError(f"{folder / QUESTIONS}: got no questions of {', '.join(absent)}, expected all subtasks")
    return MME(items=items, truths=truths, images=ImageFolder(folder / "images"))


def _pair(question_id: str) -> str:
    """SUBTASK/NAME of an image without its suffix, which is also the name of its annotation."""
    parts = question_id.split("/")
    return f"{parts[0]}/{parts[-1].split('.')[0]}"


class _Annotations:
    """MME's annotation files, each read once; lines contain a question, a tab, and Yes or No."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, dict[str, str]] = {}

    def answer(self, pair: str, record: DataRecord) -> str:
        """The answer to the question of ``record``, which in LLaVA's file lacks MME's request for yes or no."""
        if pair not in self._read:
            self._read[pair] = self._file(pair)
        question = record.get("text", str).replace(_HOW_TO_ANSWER, "").strip()
        wordings = [question] if _YES_OR_NO in question else [f"{question}{blank}{_YES_OR_NO}" for blank in (" ", "  ")]
        for wording in wordings:
            if wording in self._read[pair]:
                return self._read[pair][wording]
        raise EvaluateError(f"{record.where}: text: got {question!r:.80}, expected a question of {self._path(pair)}")

    def _path(self, pair: str) -> Path:
        subtask, name = pair.split("/")
        apart = (self._root / subtask / "images").exists()
        return self._root / subtask / ("questions_answers_YN" if apart else "") / f"{name}.txt"

    def _file(self, pair: str) -> dict[str, str]:
        path = self._path(pair)
        answers = {}
        for number, line in enumerate(read_text(path, "MME's annotation of an image").split("\n"), 1):
            if not line.strip():
                continue
            question, tab, answer = line.strip().partition("\t")
            if not tab or answer.lower() not in ("yes", "no"):
                raise EvaluateError(
                    f"{path}, line {number}: got {line!r:.80}, expected a question, a tab and Yes or No"
                )
            answers[question] = answer.lower()
        return answers
