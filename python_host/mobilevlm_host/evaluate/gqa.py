"""GQA: open and yes/no questions about real photographs, on the balanced test-dev split; the figure is exact-match accuracy.

Source: the authors' ``scripts/benchmark/gqa.sh``: LLaVA's question file, its conversion of answers (final periods removed, lower
case), and GQA's official ``eval.py``, which counts an answer that exactly equals the annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers, percent
from mobilevlm_host.evaluate.data_files import (
    DataRecord,
    FolderBenchmark,
    ImageFolder,
    read_json_lines,
    read_json_object,
    unique,
)

QUESTIONS = "llava_gqa_testdev_balanced.jsonl"
ANNOTATIONS = "testdev_balanced_questions.json"


@dataclass(frozen=True)
class GQATruth:
    """The official annotation of a question: ``open`` ones ask for a word, the others for yes, no or one of two choices."""

    answer: str
    open: bool


@dataclass(frozen=True, kw_only=True)
class GQA(FolderBenchmark):
    """The balanced test-dev questions (12,578 in the official files)."""

    truths: Mapping[str, GQATruth]
    name: str = "gqa"
    max_new_tokens: int = 128

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``accuracy`` in percent, then that of yes/no and choice questions (``binary``) and of the others (``open``)."""
        given = given_answers(self.items, answers)
        right = {id: float(answer.rstrip(".").lower() == self.truths[id].answer) for id, answer in given.items()}
        metrics = {"accuracy": percent(right.values())}
        for kind in ("binary", "open"):
            of_kind = [earned for id, earned in right.items() if self.truths[id].open == (kind == "open")]
            metrics |= {kind: percent(of_kind)} if of_kind else {}
        return Scores(metrics, right)


def load(folder: Path) -> Benchmark:
    """Read ``folder``: the question file, the official annotations and ``images/``.

    Raises:
        EvaluateError: a file is missing or malformed, or the two don't match.
    """
    asked = read_json_lines(folder / QUESTIONS, "LLaVA's GQA questions, one JSON object per line")
    items = [
        Item(id, record.get("image", str), record.get("text", str))
        for id, record in unique(((record.id("question_id"), record) for record in asked), "question_id")
    ]
    official = read_json_object(folder / ANNOTATIONS, "GQA's official questions: an object of objects")
    truths = {id: _truth(record) for id, record in official.items() if record.get("isBalanced", bool)}
    ids = {item.id for item in items}
    if unasked := [id for id in truths if id not in ids]:
        raise EvaluateError(
            f"{folder / QUESTIONS}: got no line for {len(unasked)} of {len(truths)} balanced questions "
            f"({', '.join(unasked[:3])}), expected one for each"
        )
    if unknown := [id for id in ids if id not in truths]:
        raise EvaluateError(
            f"{folder / ANNOTATIONS}: got no balanced question {', '.join(sorted(unknown)[:3])} ({len(unknown)} missing of "
            f"{len(ids)}), expected every question of {QUESTIONS}"
        )
    return GQA(items=items, truths=truths, images=ImageFolder(folder / "images"))


def _truth(record: DataRecord) -> GQATruth:
    types = DataRecord(f"{record.where}: types", record.get("types", dict))
    return GQATruth(record.get("answer", str), types.get("structural", str) == "query")
