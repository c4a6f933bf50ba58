"""POPE: is an object in the image? Three splits (random, popular, adversarial); the paper's figure is their mean F1.

Source: the authors' ``scripts/benchmark/pope.sh`` and LLaVA's ``eval_pope.py``. The scorer prints each split's figures. The paper's
figure must be the mean F1, because its table's LLaVA-1.5 row is LLaVA's published mean F1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers
from mobilevlm_host.evaluate.data_files import DataRecord, FolderBenchmark, ImageFolder, read_json_lines, unique

QUESTIONS = "llava_pope_test.jsonl"
SPLITS = ("random", "popular", "adversarial")


@dataclass(frozen=True)
class POPETruth:
    """The ``split`` of a question, and whether the object is in the image."""

    split: str
    there: bool


@dataclass(frozen=True, kw_only=True)
class POPE(FolderBenchmark):
    """The questions of the three splits (8,910 in the official files)."""

    truths: Mapping[str, POPETruth]
    name: str = "pope"
    max_new_tokens: int = 128

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``f1`` and ``accuracy`` as means over the splits, then each split's five figures; all in percent."""
        answered = {id: says_yes(answer) for id, answer in given_answers(self.items, answers).items()}
        pairs: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for id, yes in answered.items():
            pairs[self.truths[id].split].append((yes, self.truths[id].there))
        by_split = {split: split_figures(pairs[split]) for split in SPLITS if split in pairs}
        means = {name: fmean(figures[name] for figures in by_split.values()) for name in ("f1", "accuracy")}
        each = {f"{split} {name}": value for split, figures in by_split.items() for name, value in figures.items()}
        return Scores(means | each, {id: float(yes == self.truths[id].there) for id, yes in answered.items()})


def says_yes(answer: str) -> bool:
    """The official scorer's reading of ``answer``: no, if its first sentence contains the word No, no or not; else yes."""
    words = answer.split(".")[0].replace(",", "").split(" ")
    return not {"No", "no", "not"} & set(words)


def split_figures(pairs: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """The figures, in percent, for ``pairs`` of answered and correct. Without any yes, precision and F1 are 0."""
    hits = sum(answered and there for answered, there in pairs)
    yes, positives = sum(answered for answered, _ in pairs), sum(there for _, there in pairs)
    precision = hits / yes if yes else 0.0
    recall = hits / positives if positives else 0.0
    figures = {
        "accuracy": sum(answered == there for answered, there in pairs) / len(pairs),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "yes ratio": yes / len(pairs),
    }
    return {name: 100 * value for name, value in figures.items()}


def load(folder: Path) -> Benchmark:
    """Read ``folder``: LLaVA's questions, POPE's ``coco/coco_pope_SPLIT.json`` and ``val2014/``.

    Like the official scorer, this matches a split's questions with the lines of its file by their order; it also checks the
    images' names.

    Raises:
        EvaluateError: a file is missing or malformed, or the questions of a split don't match its file.
    """
    asked = read_json_lines(folder / QUESTIONS, "LLaVA's POPE questions, one JSON object per line")
    items: list[Item] = []
    by_split: dict[str, list[DataRecord]] = {split: [] for split in SPLITS}
    for id, record in unique(((record.id("question_id"), record) for record in asked), "question_id"):
        split = record.get("category", str)
        if split not in SPLITS:
            raise EvaluateError(f"{record.where}: category: got {split!r}, expected {', '.join(SPLITS)}")
        items.append(Item(id, record.get("image", str), record.get("text", str)))
        by_split[split].append(record)
    truths: dict[str, POPETruth] = {}
    for split, questions in by_split.items():
        truths |= _truths(questions, split, folder / "coco" / f"coco_pope_{split}.json")
    return POPE(items=items, truths=truths, images=ImageFolder(folder / "val2014"))


def _truths(questions: Sequence[DataRecord], split: str, path: Path) -> dict[str, POPETruth]:
    labels = read_json_lines(path, "POPE's labels, one JSON object per line")
    if len(labels) != len(questions):
        raise EvaluateError(f"{path}: got {len(labels)} lines, expected the {len(questions)} {split} of {QUESTIONS}")
    truths = {}
    for question, label in zip(questions, labels, strict=True):
        if label.get("image", str) != question.get("image", str):
            raise EvaluateError(
                f"{label.where}: image: got {label.get('image', str)!r}, expected {question.get('image', str)!r} "
                f"as in {question.where}"
            )
        if label.get("label", str) not in ("yes", "no"):
            raise EvaluateError(f"{label.where}: label: got {label.get('label', str)!r}, expected yes or no")
        truths[question.id("question_id")] = POPETruth(split, label.get("label", str) == "yes")
    return truths
