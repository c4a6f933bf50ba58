from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import first_pictures
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
from mobilevlm_host.evaluate.pope import says_yes

LABELS = {"random": "yes yes no no", "popular": "yes no no", "adversarial": "yes yes no"}  # unbalanced on purpose


def write(folder: Path, labels: dict[str, str]) -> None:
    lines, number = [], 0
    (folder / "coco").mkdir(exist_ok=True)
    for split, words in labels.items():
        official = []
        for place, label in enumerate(words.split()):
            image = f"COCO_val2014_{place // 2:012}.jpg"
            text = f"Is there a {split} thing {place} in the image?"
            official.append(json.dumps({"question_id": place + 1, "image": image, "text": text, "label": label}))
            ask = f"{text}\nAnswer the question using a single word or phrase."
            lines.append(json.dumps({"question_id": number, "image": image, "text": ask, "category": split}))
            number += 1
        (folder / f"coco/coco_pope_{split}.json").write_text("\n".join(official) + "\n")
    (folder / "llava_pope_test.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, LABELS)
    return tmp_path


def test_items(folder: Path) -> None:
    pope = load_benchmark("pope", folder)
    assert [item.id for item in pope.items] == [str(number) for number in range(10)]
    assert (
        pope.items[4].prompt
        == "Is there a popular thing 0 in the image?\nAnswer the question using a single word or phrase."
    )
    assert (pope.name, pope.max_new_tokens) == ("pope", 128)
    assert pope.missing() == ["COCO_val2014_000000000000.jpg", "COCO_val2014_000000000001.jpg"]


def test_score_by_hand(folder: Path) -> None:
    said = ["Yes", "No", "Yes", "No", "yes", "no", "no", "Yes", "Yes", "Yes"]
    scores = load_benchmark("pope", folder).score({str(number): answer for number, answer in enumerate(said)})
    # random, true y y n n, said y n y n: TP 1, FN 1, FP 1, TN 1: precision 1/2, recall 1/2, F1 1/2, accuracy 2/4, yes 2/4.
    # popular, true y n n, said y n n: all right: precision, recall, F1 and accuracy 1, yes 1/3.
    # adversarial, true y y n, said y y y: TP 2, FP 1: precision 2/3, recall 1, F1 2 * 2/3 / (5/3) = 4/5, accuracy 2/3, yes 1.
    assert scores.metrics == pytest.approx(
        {
            "f1": 100 * (1 / 2 + 1 + 4 / 5) / 3,  # 76.67
            "accuracy": 100 * (1 / 2 + 1 + 2 / 3) / 3,  # the mean of splits, not of questions
            "random accuracy": 50,
            "random precision": 50,
            "random recall": 50,
            "random f1": 50,
            "random yes ratio": 50,
            "popular accuracy": 100,
            "popular precision": 100,
            "popular recall": 100,
            "popular f1": 100,
            "popular yes ratio": 100 / 3,
            "adversarial accuracy": 200 / 3,
            "adversarial precision": 200 / 3,
            "adversarial recall": 100,
            "adversarial f1": 80,
            "adversarial yes ratio": 100,
        }
    )
    assert next(iter(scores.metrics)) == "f1"
    assert [scores.by_item[str(number)] for number in range(10)] == [1, 0, 0, 1, 1, 1, 1, 1, 1, 0]


def test_no_answer_of_yes(folder: Path) -> None:
    scores = load_benchmark("pope", folder).score({str(number): "no" for number in range(10)})
    # Precision is 0/0, and 0 by convention; accuracy is the share of no: 2/4, 2/3, 1/3, whose mean is 1/2.
    assert (scores.metrics["f1"], scores.metrics["random precision"]) == (0, 0)
    assert scores.metrics["accuracy"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("Yes", True),
        ("No", False),
        ("no", False),
        ("NO", True),  # the official scorer knows No, no and not
        ("No, there is not", False),
        ("No.", False),
        ("Yes. No dog", True),  # only the first sentence counts
        ("There is not a dog", False),
        ("There is no, dog", False),  # commas go first
        ("nothing", True),  # no inside another word
        ("Nope", True),
        ("", True),
        ("No\nYes", True),  # only blanks part words
        ("yesterday", True),
    ],
)
def test_how_an_answer_is_normalized(answer: str, yes: bool) -> None:
    assert says_yes(answer) is yes


def test_labels_of_another_order_are_refused(folder: Path) -> None:
    file = folder / "coco/coco_pope_random.json"
    file.write_text("\n".join(reversed(file.read_text().splitlines())))
    with pytest.raises(
        EvaluateError, match=r"coco_pope_random.json, line 1: image: got 'COCO_val2014_000000000001.jpg'"
    ):
        load_benchmark("pope", folder)


def test_labels_of_another_release_are_refused(folder: Path) -> None:
    file = folder / "coco/coco_pope_popular.json"
    file.write_text(file.read_text() + file.read_text().splitlines()[0])
    with pytest.raises(EvaluateError, match=r"coco_pope_popular.json: got 4 lines, expected the 3 popular"):
        load_benchmark("pope", folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("llava_pope_test.jsonl", '"random"', '"easy"', "line 1: category: got 'easy', expected random, popular"),
        (
            "llava_pope_test.jsonl",
            '"question_id": 1,',
            '"question_id": 0,',
            "line 2: question_id: got '0' a second time",
        ),
        ("coco/coco_pope_random.json", '"label": "yes"', '"label": "maybe"', "line 1: label: got 'maybe'"),
        ("coco/coco_pope_random.json", '"label": "yes"', '"label": ', "line 1: got invalid JSON at column"),
    ],
)
def test_bad_files_are_named(folder: Path, file: str, old: str, new: str, message: str) -> None:
    (folder / file).write_text((folder / file).read_text().replace(old, new))
    with pytest.raises(EvaluateError, match=f"{file}, {message}"):
        load_benchmark("pope", folder)


def test_a_missing_split_is_named(folder: Path) -> None:
    (folder / "coco/coco_pope_adversarial.json").unlink()
    with pytest.raises(EvaluateError, match=r"coco_pope_adversarial.json: No such file"):
        load_benchmark("pope", folder)


def test_limited_to_its_first_images(folder: Path) -> None:
    pope = load_benchmark("pope", folder).about(first_pictures(load_benchmark("pope", folder).items, 1))
    assert [item.id for item in pope.items] == ["0", "1", "4", "5", "7", "8"]
    # random y y, popular y n, adversarial y y; all said yes: F1 1, 2/3, 1.
    scores = pope.score({item.id: "yes" for item in pope.items})
    assert scores.metrics["f1"] == pytest.approx(100 * (1 + 2 / 3 + 1) / 3)
