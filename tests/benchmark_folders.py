"""Tiny benchmark folders in the official layouts, for the tests of readers, scorers and the commands on them."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from mobilevlm_host.evaluate.mmbench import TABLE
from mobilevlm_host.evaluate.mme import COGNITION, PERCEPTION

_SHORT = "\nAnswer the question using a single word or phrase."
GQA_QUESTIONS = [  # id, picture, question, answer, structural type
    ("201", "n1.jpg", "Is it overcast?", "no", "verify"),
    ("202", "n1.jpg", "Who is wearing a dress?", "woman", "query"),
    ("203", "n2.jpg", "Is the sky blue or gray?", "blue", "choose"),
    ("204", "n2.jpg", "What is in the U.S.?", "st. bernard.", "query"),
]


def gqa_truth(answer: str, structural: str, **changes: Any) -> dict[str, Any]:
    return {"isBalanced": True, "answer": answer, "types": {"structural": structural, "semantic": "obj"}} | changes


def write_gqa(folder: Path) -> None:
    """Four questions about two images, of which only the first exists."""
    lines = [
        json.dumps({"question_id": id, "image": picture, "text": question + _SHORT, "category": "default"})
        for id, picture, question, *_ in GQA_QUESTIONS
    ]
    (folder / "llava_gqa_testdev_balanced.jsonl").write_text("\n".join(lines) + "\n")
    truths = {id: gqa_truth(answer, structural) for id, _, _, answer, structural in GQA_QUESTIONS}
    truths["999"] = gqa_truth("yes", "verify", isBalanced=False)  # not counted by eval.py, so not asked
    (folder / "testdev_balanced_questions.json").write_text(json.dumps(truths))
    (folder / "images").mkdir()
    Image.new("RGBA", (4, 3), (255, 0, 0, 0)).save(folder / "images/n1.jpg", format="PNG")


_OCR_END = "\nReference OCR token: NIKE, 23\nAnswer the question using a single word or phrase."


def _asked(image: str, question: str, end: str = _OCR_END) -> dict[str, str]:
    return {"question_id": image, "image": f"{image}.jpg", "text": question + end, "category": "default"}


def textvqa_annotation(image: str, question: str, answers: list[str]) -> dict[str, Any]:
    return {"image_id": image, "question": question, "answers": answers, "question_id": 34602}


TEXTVQA_ASKED = [
    _asked("a1", "what brand is it?"),
    _asked("a1", "What number is it?"),
    _asked("b2", "what does it say?", _SHORT),
    _asked("a1", "what brand is it?"),  # the same question again
]
_TEXTVQA_ANNOTATED = [
    textvqa_annotation("a1", "What brand is it?", ["nike"] * 2 + ["Nike."] + ["adidas"] * 6 + ["the nike"]),
    textvqa_annotation("a1", "what number is it?", ["23"] * 2 + ["twenty three"] * 8),
    textvqa_annotation("b2", "what does it say?", ["stop"] * 10),
]


def write_textvqa(folder: Path) -> None:
    """Four questions about two images, neither of which exists; two questions are the same."""
    (folder / "llava_textvqa_val_v051_ocr.jsonl").write_text("\n".join(json.dumps(each) for each in TEXTVQA_ASKED))
    (folder / "TextVQA_0.5.1_val.json").write_text(json.dumps({"dataset_type": "val", "data": _TEXTVQA_ANNOTATED}))
    (folder / "train_images").mkdir()


# Their images and annotations are in separate folders.
_MME_APART = ("artwork", "celebrity", "landmark", "posters", "scene")


def write_mme(folder: Path) -> None:
    """Every subtask with two images, which don't exist; each has a question with the answer yes, and one with the answer no."""
    lines = []
    for subtask in (*COGNITION, *PERCEPTION):
        root = folder / "images" / subtask
        texts = root / "questions_answers_YN" if subtask in _MME_APART else root
        texts.mkdir(parents=True)
        if subtask in _MME_APART:
            (root / "images").mkdir()
        for name in ("0001", "0002"):
            blank = "  " if name == "0002" else " "  # both are in the release
            asked = [f"Is it {subtask} {name}?", f"Is it not {subtask} {name}?"]
            official = [f"{question}{blank}Please answer yes or no." for question in asked]
            (texts / f"{name}.txt").write_text(f"{official[0]}\tYes\n{official[1]}\tNo\n\n")
            for question in asked:
                where = f"{subtask}/images/{name}.jpg" if subtask in _MME_APART else f"{subtask}/{name}.jpg"
                lines.append({"question_id": f"{subtask}/{name}.jpg", "image": where, "text": question + _SHORT})
    (folder / "llava_mme.jsonl").write_text("\n".join(json.dumps(line) for line in lines))


def mme_right_answers(items: Any) -> dict[str, str]:
    """Item id → the correct answer."""
    return {item.id: "No" if "not" in item.prompt else "Yes" for item in items}


_COLUMNS = "index question hint A B C D answer category image source l2-category comment split"
MMBENCH_COLUMNS = _COLUMNS.split()


def _base64_picture(color: str) -> str:
    data = io.BytesIO()
    Image.new("RGB", (3, 2), color).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def mmbench_row(index: int, choices: list[str], answer: str, color: str, category: str, hint: str = "") -> list[str]:
    padded = (choices + [""] * 4)[:4]
    question = f"Which\tone\nis {index % 1_000_000}?"
    return [str(index), question, hint, *padded, answer, "x", _base64_picture(color), "s", category, "", "dev"]


MMBENCH_ROWS = [
    mmbench_row(1, ["cat", "dog"], "A", "red", "coarse"),
    mmbench_row(2, ["1", "2", "None", "4"], "B", "blue", "logic", hint="Look, here."),
    mmbench_row(3, ["up", "down"], "B", "red", "logic", hint="nan"),
    mmbench_row(1_000_001, ["dog", "cat"], "B", "red", "coarse"),
    mmbench_row(1_000_003, ["down", "up"], "A", "red", "logic"),
]


def write_mmbench(folder: Path, rows: list[list[str]], columns: list[str] = MMBENCH_COLUMNS) -> Path:
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([columns, *rows])
    return folder / TABLE
