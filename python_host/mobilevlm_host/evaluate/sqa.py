"""ScienceQA: multiple-choice school questions, those of the test split that have an image; the figure is their accuracy.

Source: the authors' ``scripts/benchmark/sqa.sh`` and ``mobilevlm/eval/model_vqa_science.py`` (``--single-pred-prompt``), and LLaVA's
``eval_science_qa.py``, whose "IMG-Accuracy" this is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers, percent
from mobilevlm_host.evaluate.data_files import (
    DataRecord,
    FolderBenchmark,
    ImageFolder,
    read_json,
    read_json_list,
    read_json_object,
    unique,
)

QUESTIONS, PROBLEMS, SPLITS = "llava_test_CQM-A.json", "problems.json", "pid_splits.json"
SUFFIX = "\nAnswer with the option's letter from the given choices directly."
VIEW = 336  # pixels: the output of the reference's CLIP processor
_LETTERS = "ABCDE"
_SENTENCE = re.compile(r"The answer is ([A-Z]).")  # as in the official scorer, where the period matches any character


@dataclass(frozen=True, kw_only=True)
class SQA(FolderBenchmark):
    """The test questions with an image (2,017 in the official files).

    ``truths``: id → correct letter and number of choices; ``without_picture``: the test questions that aren't asked.
    """

    truths: Mapping[str, tuple[str, int]]
    without_picture: Collection[str]
    name: str = "sqa"
    max_new_tokens: int = 1024

    def image(self, picture: str) -> Image.Image:
        """The image as in the authors' script: RGB, the center square of 336 x 336 pixels.

        Only for this benchmark, the script doesn't pad to a square: CLIP's own processor resizes the shorter side to 336 and crops.
        """
        return middle_square(self.images.open(picture))

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``accuracy`` in percent; answers to test questions without an image are ignored, as in IMG-Accuracy."""
        asked = {id: answer for id, answer in answers.items() if id not in self.without_picture}
        right = {}
        for id, answer in given_answers(self.items, asked).items():
            letter, choices = self.truths[id]
            right[id] = float(chosen_letter(answer, choices) == letter)
        return Scores({"accuracy": percent(right.values())}, right)


def chosen_letter(answer: str, choices: int) -> str | None:
    """The letter that the official scorer finds in ``answer``; None if there is none, or it isn't a choice."""
    if answer and answer in tuple(_LETTERS):
        letter = answer
    elif answer[:1] in tuple(_LETTERS) and answer[1:3] == ". ":
        letter = answer[0]
    else:
        found: list[str] = _SENTENCE.findall(answer)
        letter = found[0] if len(found) == 1 else ""
    return letter if letter and letter in _LETTERS[:choices] else None


def middle_square(image: Image.Image) -> Image.Image:
    """``image`` with its shorter side resized to 336 pixels (bicubic) and the longer one center-cropped to 336."""
    width, height = image.size
    short = min(width, height)
    size = (int(VIEW * width / short), int(VIEW * height / short))
    resized = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - VIEW) // 2, (size[1] - VIEW) // 2
    return resized.crop((left, top, left + VIEW, top + VIEW))


def load(folder: Path) -> Benchmark:
    """Read ``folder``: LLaVA's questions, ScienceQA's problems and splits, and ``images/test/``.

    Raises:
        EvaluateError: a file is missing or malformed, or the files don't match.
    """
    asked = read_json_list(folder / QUESTIONS, "LLaVA's ScienceQA questions: a list of objects")
    problems = read_json_object(folder / PROBLEMS, "ScienceQA's problems: an object of objects")
    splits = DataRecord(
        str(folder / SPLITS), read_json(folder / SPLITS, dict, "ScienceQA's splits: an object of lists")
    )
    test = set(splits.texts("test"))
    items, truths, without_picture = [], {}, set()
    for id, record in unique(((record.id("id"), record) for record in asked), "id"):
        if id not in test or id not in problems:
            raise EvaluateError(f"{record.where}: id: got {id!r}, expected a test question of {SPLITS} and {PROBLEMS}")
        if "image" not in record.values:
            without_picture.add(id)
            continue
        items.append(Item(id, record.get("image", str), _question(record) + SUFFIX))
        truths[id] = _truth(problems[id])
    if not items:
        raise EvaluateError(f"{folder / QUESTIONS}: got no questions with an image, expected some")
    images = ImageFolder(folder / "images" / "test")
    return SQA(items=items, truths=truths, without_picture=without_picture, images=images)


def _question(record: DataRecord) -> str:
    turns = record.get("conversations", list)
    if not turns or not isinstance(turns[0], dict):
        raise EvaluateError(f"{record.where}: conversations: got {turns!r:.60}, expected the question's turn first")
    return DataRecord(f"{record.where}: conversations[0]", turns[0]).get("value", str).replace("<image>", "").strip()


def _truth(problem: DataRecord) -> tuple[str, int]:
    choices, answer = problem.texts("choices"), problem.get("answer", int)
    if not 0 <= answer < len(choices) <= len(_LETTERS):
        raise EvaluateError(
            f"{problem.where}: answer: got {answer} of {len(choices)} choices, expected one of them, at most {len(_LETTERS)}"
        )
    return _LETTERS[answer], len(choices)
