"""MMBench: multiple-choice questions, each asked with all rotations of its choices; correct only if all are (circular evaluation).

Source: the authors' ``scripts/benchmark/mmbench.sh`` and ``mobilevlm/eval/model_vqa_mmbench.py`` (``--lang en --single-pred-prompt``), and
OpenCompass's ``tools/eval_mmbench.py``. The rotations are rows of the official file (index + 1,000,000, + 2,000,000, …), so each row
is asked once. The paper's figure must be the circular one, because its table's LLaVA-1.5 row is the official server's. If the official
rules find no choice in an answer, the official scorer asks a GPT model; here the answer is wrong, and ``unmatched`` counts it.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL.Image import Image

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, Scores, given_answers, items_about, percent
from mobilevlm_host.evaluate.data_files import open_rgb

TABLE = "mmbench_dev_en_20231003.tsv"
SUFFIX = "\nAnswer with the option's letter from the given choices directly."
LETTERS = "ABCD"
ROTATION = 1_000_000  # added to a question's index for each rotation of its choices
_NEEDED = ("index", "question", "hint", *LETTERS, "answer", "image", "l2-category")
_MAX_FIELD = 1 << 30  # characters: images are base64 inside the table
_NO_VALUES = "#N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null"
_EMPTY = frozenset(
    ("", "#N/A N/A", *_NO_VALUES.split())
)  # what pandas, and so the authors' script, reads as a missing value
_MARKS = (  # around a letter, in the official scorer's order
    ("", ""),
    *(("", mark) for mark in (".", ",", ":", ")", ").")),
    *(("(", mark) for mark in (")", ").")),
    *((":", mark) for mark in ("", ",", ".", ")", ").")),
)
_FEW_WORDS = 3  # in longer answers, an A may be the article


@dataclass(frozen=True)
class MMBench:
    """The rows of the dev split. ``rows``: id → the row's columns without the image; ``pictures``: image name → base64."""

    items: Sequence[Item]
    columns: Sequence[str]
    rows: Mapping[str, Mapping[str, str]]
    pictures: Mapping[str, str]
    table: Path
    name: str = "mmbench"
    max_new_tokens: int = 1024

    def about(self, pictures: Collection[str]) -> MMBench:
        """This benchmark restricted to questions about ``pictures``."""
        return replace(self, items=items_about(self.items, pictures))

    def missing(self) -> Sequence[str]:
        """None, because the images are in the table."""
        return []

    def image(self, picture: str) -> Image:
        """The image as RGB."""
        name = f"{self.table}: index {picture}: image"
        try:
            data = base64.b64decode(self.pictures[picture])
        except (binascii.Error, ValueError) as error:
            raise EvaluateError(f"{name}: got {error}, expected base64") from None
        return open_rgb(io.BytesIO(data), name)

    def score(self, answers: Mapping[str, str]) -> Scores:
        """``accuracy`` by circular evaluation in percent, then for each ``l2-category``; ``unmatched`` is a count.

        In ``by_item`` each row is scored alone: 1 if it is correct in its own rotation.
        """
        given = given_answers(self.items, answers)
        chosen = {id: chosen_letter(answer, choices(self.rows[id])) for id, answer in given.items()}
        right = {id: float(letter == self.rows[id]["answer"]) for id, letter in chosen.items()}
        rotations: dict[int, list[str]] = defaultdict(list)
        for id in right:
            rotations[int(id) % ROTATION].append(id)
        by_category: dict[str, list[float]] = defaultdict(list)
        for ids in rotations.values():
            by_category[self.rows[ids[0]]["l2-category"]].append(min(right[id] for id in ids))
        metrics = {"accuracy": percent([earned for each in by_category.values() for earned in each])}
        metrics |= {category: percent(by_category[category]) for category in sorted(by_category)}
        unmatched = {"unmatched": float(sum(letter is None for letter in chosen.values()))}
        return Scores(metrics | unmatched, right, plain=frozenset(unmatched))


def choices(row: Mapping[str, str]) -> dict[str, str]:
    """Letter → choice, for the choices that the row has."""
    return {letter: row[letter] for letter in LETTERS if row[letter] not in _EMPTY}


def chosen_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that ``answer`` names by the official rules: a single letter, a marked letter, or one choice's text; else None.

    The official scorer reads answers from a workbook with pandas, which turns answers such as "None" into ``nan``.
    """
    answer = "nan" if answer in _EMPTY else answer
    words = answer.split()
    for before, after in _MARKS:
        named = [letter for letter in "ABCDE" if f"{before}{letter}{after}" in words]  # E: none of them
        if len(named) == 1 and not (not before + after and "A" in words and len(words) > _FEW_WORDS):
            return named[0]
    told = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return told[0] if len(told) == 1 else None


def load(folder: Path) -> Benchmark:
    """Read ``folder``: the official table of the dev split.

    Raises:
        EvaluateError: the table is missing or malformed.
    """
    table = folder / TABLE
    items: list[Item] = []
    rows: dict[str, Mapping[str, str]] = {}
    pictures: dict[str, str] = {}  # base64 → image name; rotations share the image
    columns, records = read_table(table)
    for where, row in records:
        id = row["index"]
        if not id.isdecimal() or id in rows:
            raise EvaluateError(f"{where}: index: got {id!r:.40}, expected an integer that no other row has")
        if row["answer"] not in choices(row):
            raise EvaluateError(f"{where}: answer: got {row['answer']!r:.40}, expected the letter of a choice")
        image = row.pop("image")
        if image in _EMPTY:
            raise EvaluateError(f"{where}: image: got nothing, expected an image in base64")
        items.append(Item(id, pictures.setdefault(image, id), _prompt(row)))
        rows[id] = row
    if not rows:
        raise EvaluateError(f"{table}: got no rows, expected questions")
    for id in rows:
        if str(int(id) % ROTATION) not in rows:
            raise EvaluateError(f"{table}: got index {id}, a rotation, expected index {int(id) % ROTATION} too")
    by_picture = {picture: image for image, picture in pictures.items()}
    return MMBench(items, columns, rows, by_picture, table)


def read_table(path: Path) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """The columns of the official table, and its rows, each with its location and values by column.

    Raises:
        EvaluateError: the table is missing, truncated, or lacks a column.
    """
    csv.field_size_limit(_MAX_FIELD)
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, delimiter="\t", strict=True)
            columns = list(reader.fieldnames or ())
            if lacking := [column for column in _NEEDED if column not in columns]:
                raise EvaluateError(f"{path}: got no column {', '.join(lacking)}, expected MMBench's table")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    count = sum(value is not None for value in row.values())
                    raise EvaluateError(f"{where}: got {'more' if None in row else count} of {len(columns)} fields")
                rows.append((where, row))
    except UnicodeDecodeError as error:
        raise EvaluateError(f"{path}: got {error.reason}, expected MMBench's table in UTF-8") from None
    except csv.Error as error:
        raise EvaluateError(
            f"{path}, line {reader.reader.line_num}: got {error}, expected a complete row of MMBench's table"
        ) from None
    except OSError as error:
        raise EvaluateError(f"{path}: {error.strerror}, expected MMBench's table") from None
    return columns, rows


def _prompt(row: Mapping[str, str]) -> str:
    options = []
    for letter in LETTERS:
        if _none(row[letter]):
            break
        options.append(f"{letter}. {row[letter]}")
    hint = [] if _none(row["hint"]) else [row["hint"]]
    return "\n".join([*hint, row["question"], *options]) + SUFFIX


def _none(value: str) -> bool:
    return value in _EMPTY or value.lower() in ("nan", "none")
