"""Every question has one correct answer, derived here independently from the scene."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mobilevlm_export.demo.questions import DESCRIBE, KINDS, NUMBERS, caption, is_right, questions
from mobilevlm_export.demo.scenes import HELD_OUT_SEEDS, PLACES, TRAIN_SEEDS, Scene, SceneObject, make_scene

_TWO = "A red star at the top left and a blue 7 in the center."
SCENES = [make_scene(seed) for seed in TRAIN_SEEDS[:400]]


def _at(place: str) -> str:
    return "in the center" if place == "center" else f"at the {place}"


def _object(phrase: str) -> tuple[str, str]:
    words = phrase.replace(" word ", " ").split()
    return words[0], words[1]


def _find(scene: Scene, phrase: str) -> SceneObject:
    (found,) = [item for item in scene.objects if item.words == _object(phrase)]
    return found


def test_every_kind_occurs_and_questions_are_deterministic() -> None:
    kinds = Counter(qa.kind for scene in SCENES for qa in questions(scene, 0))
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 100
    assert questions(SCENES[3], 5) == questions(make_scene(3), 5)
    assert len({qa.question for qa in questions(SCENES[7], 0)}) == len(questions(SCENES[7], 0))


def test_places_colors_and_readings() -> None:
    checked = 0
    for scene in SCENES:
        for qa in questions(scene, 0):
            for item in scene.objects:
                if qa.kind in ("color", "shape", "reading") and _at(item.place) in qa.question:
                    assert qa.answer == (item.color if qa.kind == "color" else item.name)
                    checked += 1
            if qa.kind == "position":
                phrase = qa.question.split(" is the ")[1].rstrip("?")
                fits = [item for item in scene.objects if set(phrase.split()) <= {*item.words, item.kind, "object"}]
                assert [_at(item.place) for item in fits] == [qa.answer]
                checked += 1
    assert checked > 500


def test_counts_and_comparisons() -> None:
    checked = 0
    for scene in SCENES:
        names = Counter(item.name for item in scene.objects)
        colors = Counter(item.color for item in scene.objects)
        for qa in questions(scene, 0):
            words = qa.question.rstrip("?").split()
            if qa.kind == "count" and words[2] in colors and words[3] == "objects":
                assert qa.answer == NUMBERS[colors[words[2]]]
            elif qa.question.startswith("Are there more"):
                more, fewer = (
                    names[word.removesuffix("es") if word == "crosses" else word.removesuffix("s")]
                    for word in (words[3], words[5])
                )
                assert qa.answer == ("yes" if more > fewer else "no")
            elif " above the " in qa.question:
                first, second = qa.question.removeprefix("Is the ").rstrip("?").split(" above the ")
                ours, theirs = (PLACES[_find(scene, phrase).place][1] for phrase in (first, second))
                assert qa.answer == ("yes" if ours < theirs else "no")
            else:
                continue
            checked += 1
    assert checked > 150


def test_yes_and_no_are_balanced_and_true() -> None:
    answers = Counter()
    for scene in SCENES:
        there = {item.words for item in scene.objects}
        for qa in questions(scene, 0):
            if qa.kind == "yes_no" and qa.question.startswith("Is there a"):
                phrase = qa.question.removeprefix("Is there an ").removeprefix("Is there a ").rstrip("?")
                places = [place for place in PLACES if _at(place) in phrase]
                bare = phrase.replace(f" {_at(places[0])}", "") if places else phrase
                fits = _object(bare) in there and (
                    not places or any(item.words == _object(bare) and item.place == places[0] for item in scene.objects)
                )
                assert qa.answer == ("yes" if fits else "no"), qa
                answers[qa.answer] += 1
    assert 0.35 < answers["yes"] / answers.total() < 0.65


def test_the_description_names_every_object_once() -> None:
    for scene in SCENES[:50]:
        (qa,) = [qa for qa in questions(scene, 0, count=30) if qa.question == DESCRIBE]
        for item in scene.objects:
            assert qa.answer.lower().count(f"{item.phrase} {_at(item.place)}".lower()) == 1
        said = re.sub("^(There is|The image shows|I see) ", "", caption(scene, 1))
        assert is_right(said, qa.answer, "caption")


@pytest.mark.parametrize(
    ("answer", "truth", "kind", "right"),
    [
        ("Red.", "red", "color", True),
        ("a red", "red", "color", True),
        ("red blue", "red", "color", False),
        ("", "red", "color", False),
        ("in center", "in the center", "position", True),
        ("A blue 7 in the center and a red star at the top left.", _TWO, "caption", True),
        ("A red star at the top left.", _TWO, "caption", False),
    ],
)
def test_answers_are_judged(answer: str, truth: str, kind: str, right: bool) -> None:
    assert is_right(answer, truth, kind) is right


def test_training_and_held_out_scenes_are_disjoint() -> None:
    assert TRAIN_SEEDS.stop <= HELD_OUT_SEEDS.start
