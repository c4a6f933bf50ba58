from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import first_pictures
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
from mobilevlm_host.evaluate.sqa import chosen_letter, middle_square

ASK = "Context: N/A\nQuestion: Which is longest?\nOptions: (A) a (B) b (C) c"


def question(id: str, image: bool = True) -> dict[str, Any]:
    turns = [{"from": "human", "value": f"{ASK}\n<image>" if image else ASK}, {"from": "gpt", "value": "The answer"}]
    return {"id": id, "conversations": turns} | ({"image": f"{id}/image.png"} if image else {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asked = [question("4"), question("5", image=False), question("11"), question("12"), question("13")]
    (tmp_path / "llava_test_CQM-A.json").write_text(json.dumps(asked))
    problems = {
        id: {"choices": ["a", "b", "c"], "answer": answer}
        for id, answer in zip(["4", "5", "11", "12", "13"], [0, 1, 2, 1, 0], strict=True)
    }
    (tmp_path / "problems.json").write_text(json.dumps(problems))
    (tmp_path / "pid_splits.json").write_text(json.dumps({"train": ["1"], "test": ["4", "5", "11", "12", "13"]}))
    (tmp_path / "images/test/4").mkdir(parents=True)
    Image.new("RGB", (40, 20), "red").save(tmp_path / "images/test/4/image.png")
    return tmp_path


def test_only_questions_with_a_picture_are_asked(folder: Path) -> None:
    sqa = load_benchmark("sqa", folder)
    assert [(item.id, item.picture) for item in sqa.items] == [
        (id, f"{id}/image.png") for id in ("4", "11", "12", "13")
    ]
    assert sqa.items[0].prompt == f"{ASK}\nAnswer with the option's letter from the given choices directly."
    assert (sqa.name, sqa.max_new_tokens) == ("sqa", 1024)
    assert sqa.missing() == ["11/image.png", "12/image.png", "13/image.png"]
    assert sqa.image("4/image.png").size == (336, 336)


def test_score_by_hand(folder: Path) -> None:
    answers = {"4": "A", "11": " C. because ", "12": "The answer is B. It is long.", "13": "b"}
    scores = load_benchmark("sqa", folder).score(answers)
    # True: A, C, B, A. A is A; "C. b…" begins with C and ". "; one sentence says B; "b" is no letter. 3 of 4.
    assert scores.metrics == {"accuracy": 75.0}
    assert scores.by_item == {"4": 1.0, "11": 1.0, "12": 1.0, "13": 0.0}


def test_answers_to_questions_without_a_picture_are_passed_over(folder: Path) -> None:
    # The authors' script answers every test question; question 5, wrong here, has no picture: 4 of 4.
    answers = {"4": "A", "5": "A", "11": "C", "12": "B", "13": "A"}
    sqa = load_benchmark("sqa", folder)
    assert sqa.score(answers).metrics == {"accuracy": 100.0}
    with pytest.raises(EvaluateError, match=r"got 1 \(6\) with unknown ids"):
        sqa.score(answers | {"6": "A"})
    with pytest.raises(EvaluateError, match=r"got none for 1 \(13\) of 4"):
        sqa.score({id: answer for id, answer in answers.items() if id != "13"})


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("B.", None),  # neither the bare letter nor "B. "
        ("B. a dog", "B"),
        ("b", None),
        ("", None),
        ("AB", None),
        ("D", None),  # there are three choices
        ("E. none", None),
        ("F. none", None),
        ("The answer is C.", "C"),
        ("The answer is C", None),  # the official pattern wants one more character
        ("So the answer is C.", None),
        ("The answer is A. The answer is B.", None),
        ("The answer is D.", None),
        ("(B) a dog", None),
    ],
)
def test_which_option_an_answer_names(answer: str, letter: str | None) -> None:
    assert chosen_letter(answer, 3) == letter


@pytest.mark.parametrize("size", [(500, 350), (350, 500), (90, 401), (336, 336), (337, 336), (20, 20)])
def test_pictures_are_what_clip_makes_of_them(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 336},
        crop_size=336,
        do_rescale=False,
        do_normalize=False,
        resample=Image.Resampling.BICUBIC,
    )
    expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
    assert np.array_equal(np.asarray(middle_square(image)), expected)


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("llava_test_CQM-A.json", [], "got an empty list, expected LLaVA's ScienceQA questions"),
        ("llava_test_CQM-A.json", [question("5", image=False)], "got no questions with an image"),
        ("llava_test_CQM-A.json", [question("4"), question("4")], "entry 1: id: got '4' a second time"),
        ("llava_test_CQM-A.json", [question("99")], "entry 0: id: got '99', expected a test question"),
        ("llava_test_CQM-A.json", [{"id": "4", "image": "4/image.png"}], "entry 0: conversations: got nothing"),
        ("llava_test_CQM-A.json", [{"id": "4", "image": "x", "conversations": []}], r"conversations: got \[\]"),
        (
            "llava_test_CQM-A.json",
            [{"id": "4", "image": "x", "conversations": [{}]}],
            r"conversations\[0\]: value: got no",
        ),
        ("pid_splits.json", {"train": []}, "test: got nothing, expected a list"),
        ("pid_splits.json", {"test": [4]}, r"test: got \[4\], expected a list of texts"),
        ("problems.json", {"4": {"choices": ["a"], "answer": 1}}, "4: answer: got 1 of 1 choices"),
        ("problems.json", {"4": {"choices": ["a"], "answer": "0"}}, "4: answer: got '0', expected an integer"),
        ("problems.json", {"4": 3}, "4: got int, expected an object"),
    ],
)
def test_bad_files_are_named(folder: Path, file: str, value: Any, message: str) -> None:
    (folder / file).write_text(json.dumps(value))
    with pytest.raises(EvaluateError, match=message) as caught:
        load_benchmark("sqa", folder)
    assert str(caught.value).startswith(str(folder / file))


def test_limited_to_its_first_images(folder: Path) -> None:
    sqa = load_benchmark("sqa", folder).about(first_pictures(load_benchmark("sqa", folder).items, 2))
    assert [item.id for item in sqa.items] == ["4", "11"]
    assert sqa.score({"4": "A", "11": "A"}).metrics == {"accuracy": 50.0}
