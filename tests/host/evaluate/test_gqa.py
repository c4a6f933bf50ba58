from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_folders import GQA_QUESTIONS, gqa_truth, write_gqa

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import first_pictures
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_gqa(tmp_path)
    return tmp_path


def test_items_are_the_authors_questions_in_their_order(folder: Path) -> None:
    gqa = load_benchmark("gqa", folder)
    assert [(item.id, item.picture) for item in gqa.items] == [(id, picture) for id, picture, *_ in GQA_QUESTIONS]
    assert gqa.items[0].prompt == "Is it overcast?\nAnswer the question using a single word or phrase."
    assert (gqa.name, gqa.max_new_tokens) == ("gqa", 128)


def test_pictures_are_opened_by_plain_conversion(folder: Path) -> None:
    gqa = load_benchmark("gqa", folder)
    assert gqa.missing() == ["n2.jpg"]
    image = gqa.image("n1.jpg")
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (4, 3), (255, 0, 0))  # not the mean colour


def test_score_by_hand(folder: Path) -> None:
    scores = load_benchmark("gqa", folder).score(
        {"201": " No. ", "202": "women", "203": "Blue..", "204": "St. Bernard"}
    )
    # 201: "no" after strip, full stop, lower case: right. 202: no exact match. 203: both stops go: right.
    # 204: "st. bernard" is not "st. bernard.": GQA compares with the annotation as it stands: wrong.
    assert scores.by_item == {"201": 1.0, "202": 0.0, "203": 1.0, "204": 0.0}
    # All: 2 of 4. Binary (verify, choose): 201 and 203, 2 of 2. Open (query): 0 of 2.
    assert scores.metrics == {"accuracy": 50.0, "binary": 100.0, "open": 0.0}
    assert next(iter(scores.metrics)) == "accuracy"


@pytest.mark.parametrize(
    ("answer", "right"), [("", 0), ("no", 1), ("NO", 1), ("no, it is clear", 0), ("no .", 0), (".no", 0), ("not", 0)]
)
def test_asking_one_question(folder: Path, answer: str, right: float) -> None:
    # "no ." loses its full stop and keeps the blank before it, as in the authors' conversion: wrong.
    scores = load_benchmark("gqa", folder).score({"201": answer, "202": "", "203": "", "204": ""})
    assert scores.by_item["201"] == right


def test_answers_must_be_those_of_the_questions(folder: Path) -> None:
    gqa = load_benchmark("gqa", folder)
    with pytest.raises(EvaluateError, match=r"none for 3 \(202, 203, 204\) of 4 questions"):
        gqa.score({"201": "no"})
    with pytest.raises(EvaluateError, match=r"got 1 \(999\) with unknown ids"):
        gqa.score(dict.fromkeys(("201", "202", "203", "204", "999"), "no"))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("llava_gqa_testdev_balanced.jsonl", None, "No such file"),
        ("llava_gqa_testdev_balanced.jsonl", "\n\n", "got no line"),
        ("llava_gqa_testdev_balanced.jsonl", '{"question_id": "1", "ima', "line 1: got truncated JSON"),
        ("llava_gqa_testdev_balanced.jsonl", "{}x", "line 1: got invalid JSON at column 3"),
        ("llava_gqa_testdev_balanced.jsonl", "[]", "line 1: got list, expected an object"),
        (
            "llava_gqa_testdev_balanced.jsonl",
            '\n{"question_id": true}',
            "line 2: question_id: got True, expected an id",
        ),
        ("llava_gqa_testdev_balanced.jsonl", '{"question_id": "201"}', "line 1: image: got nothing, expected text"),
        (
            "llava_gqa_testdev_balanced.jsonl",
            '{"question_id": "201", "image": 1}',
            "line 1: image: got 1, expected text",
        ),
        ("testdev_balanced_questions.json", '{"201": {"isBal', "got truncated JSON"),
        ("testdev_balanced_questions.json", "{}", "got an empty dict"),
        ("testdev_balanced_questions.json", "[1]", "got list"),
        (
            "testdev_balanced_questions.json",
            '{"201": {"isBalanced": 1}}',
            "201: isBalanced: got 1, expected true or false",
        ),
        ("testdev_balanced_questions.json", '{"201": {"isBalanced": true}}', "201: types: got nothing"),
        ("testdev_balanced_questions.json", json.dumps({"201": gqa_truth("no", "verify")}), "202, 203, 204"),
        ("testdev_balanced_questions.json", b"\xff\xfe", "expected GQA's official questions"),
    ],
)
def test_bad_files_are_named(folder: Path, file: str, text: str | bytes | None, message: str) -> None:
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EvaluateError, match=f"^{folder / file}.*{message}"):
        load_benchmark("gqa", folder)


def test_an_answer_without_a_question_is_named(folder: Path) -> None:
    file = folder / "llava_gqa_testdev_balanced.jsonl"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(EvaluateError, match=r"no line for 1 of 4 balanced questions \(204\)"):
        load_benchmark("gqa", folder)


def test_a_repeated_question_is_named(folder: Path) -> None:
    file = folder / "llava_gqa_testdev_balanced.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[0])
    with pytest.raises(EvaluateError, match="line 5: question_id: got '201' a second time"):
        load_benchmark("gqa", folder)


def test_bad_pictures_are_named(folder: Path) -> None:
    gqa = load_benchmark("gqa", folder)
    with pytest.raises(EvaluateError, match=r"n2\.jpg: No such file or directory, expected an image"):
        gqa.image("n2.jpg")
    (folder / "images/n2.jpg").write_bytes(b"not a picture")
    with pytest.raises(
        EvaluateError, match=r"n2\.jpg: got 13 bytes that are not an image, expected JPEG, PNG or the like"
    ):
        gqa.image("n2.jpg")
    with pytest.raises(EvaluateError, match="expected a name inside this folder"):
        gqa.image("../llava_gqa_testdev_balanced.jsonl")


def test_an_unknown_benchmark_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match="got 'vqa', expected one of gqa"):
        load_benchmark("vqa", tmp_path)
    with pytest.raises(EvaluateError, match="no such folder, expected the data of gqa"):
        load_benchmark("gqa", tmp_path / "none")


def test_limited_to_its_first_images(folder: Path) -> None:
    gqa = load_benchmark("gqa", folder).about(first_pictures(load_benchmark("gqa", folder).items, 1))
    assert [item.id for item in gqa.items] == ["201", "202"]
    assert gqa.score({"201": "no", "202": "man"}).metrics == {"accuracy": 50.0, "binary": 100.0, "open": 0.0}
