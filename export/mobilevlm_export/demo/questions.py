"""Questions about scenes, each with its one correct answer, and captions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from mobilevlm_export.demo.scenes import COLORS, DIGITS, PLACES, SHAPES, WORDS, Scene, SceneObject

KINDS = ("color", "shape", "count", "position", "comparison", "yes_no", "reading", "caption")
DESCRIBE = "Describe the image."
NUMBERS = ("zero", "one", "two", "three", "four")


@dataclass(frozen=True)
class QA:
    """A question, its correct answer, and its kind, one of :data:`KINDS`."""

    question: str
    answer: str
    kind: str


def questions(scene: Scene, seed: int, count: int = 8) -> list[QA]:
    """Up to ``count`` different questions about ``scene``, of as many kinds as possible, in random order."""
    random = Random(f"questions {scene.seed} {seed}")
    asked: dict[str, QA] = {}
    kinds = list(_MAKERS)
    random.shuffle(kinds)
    for attempt in range(4 * count):
        qa = _MAKERS[kinds[attempt % len(kinds)]](scene, random)
        if qa is not None and qa.question not in asked:
            asked[qa.question] = qa
        if len(asked) == count:
            break
    return list(asked.values())


def caption(scene: Scene, seed: int) -> str:
    """A sentence that names every object and its place; phrasing and order depend on ``seed``."""
    random = Random(f"caption {scene.seed} {seed}")
    items = list(scene.objects)
    random.shuffle(items)
    start = random.choice(("", "There is ", "The image shows ", "I see "))
    text = _join([_phrase_and_place(item) for item in items])
    return (start + text if start else text[0].upper() + text[1:]) + "."


def description(scene: Scene) -> str:
    """The canonical caption, the answer to :data:`DESCRIBE`: objects in reading order of their places."""
    text = _join([_phrase_and_place(item) for item in scene.objects])
    return text[0].upper() + text[1:] + "."


def is_right(answer: str, truth: str, kind: str) -> bool:
    """Whether ``answer`` means the same as ``truth``: case, articles and the final period are ignored; a caption is correct
    if it names the same objects at the same places, in any order.
    """
    if kind == "caption":
        return sorted(_parts(answer)) == sorted(_parts(truth))
    return _plain(answer) == _plain(truth)


def text_lines(scenes: Iterator[Scene]) -> Iterator[str]:
    """Text like the demo model's input and output, to train its tokenizer on."""
    for scene in scenes:
        yield caption(scene, 0)
        for qa in questions(scene, 0):
            yield qa.question
            yield qa.answer


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s]", " ", text.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _parts(text: str) -> list[str]:
    return [_plain(part) for part in re.split(r",|\band\b", text)]


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _place_phrase(place: str) -> str:
    return "in the center" if place == "center" else f"at the {place}"


def _with_indefinite_article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeio" else f"a {phrase}"


def _phrase_and_place(item: SceneObject) -> str:
    return f"{_with_indefinite_article(item.phrase)} {_place_phrase(item.place)}"


def _only(scene: Scene, test: Callable[[SceneObject], bool]) -> SceneObject | None:
    found = [item for item in scene.objects if test(item)]
    return found[0] if len(found) == 1 else None


def _noun(item: SceneObject) -> str:
    return {"shape": item.name, "digit": "digit", "word": "word"}[item.kind]


def _thing(item: SceneObject) -> str:
    return {"shape": "shape", "digit": "digit", "word": "word"}[item.kind]


def _color(scene: Scene, random: Random) -> QA | None:
    item = random.choice(scene.objects)
    at = _place_phrase(item.place)
    asks = [
        f"What color is the {_thing(item)} {at}?",
        f"What color is the object {at}?",
        f"Which color do you see {at}?",
    ]
    if _only(scene, lambda other: _noun(other) == _noun(item)):
        asks += [f"What color is the {_noun(item)}?", f"Which color does the {_noun(item)} have?"] * 2
    return QA(random.choice(asks), item.color, "color")


def _shape(scene: Scene, random: Random) -> QA | None:
    shapes = [item for item in scene.objects if item.kind == "shape"]
    if not shapes:
        return None
    item = random.choice(shapes)
    at = _place_phrase(item.place)
    asks = [f"What shape is {at}?", f"Which shape do you see {at}?"]
    if _only(scene, lambda other: other.kind == "shape" and other.color == item.color):
        asks += [f"What shape is {item.color}?", f"Which shape is the {item.color} one?"]
    return QA(random.choice(asks), item.name, "shape")


def _count(scene: Scene, random: Random) -> QA | None:
    way = random.choice(("all", "shape", "color", "shapes"))
    if way == "all":
        ask, number = random.choice(("How many objects are there?", "How many things do you see?")), len(scene.objects)
    elif way == "shapes":
        ask, number = "How many shapes are there?", sum(item.kind == "shape" for item in scene.objects)
    elif way == "shape":
        name = _present_or_any(random, [item.name for item in scene.objects if item.kind == "shape"], SHAPES)
        ask = random.choice((f"How many {_plural(name)} are there?", f"How many {_plural(name)} do you see?"))
        number = sum(item.name == name for item in scene.objects)
    else:
        color = _present_or_any(random, [item.color for item in scene.objects], tuple(COLORS))
        ask, number = f"How many {color} objects are there?", sum(item.color == color for item in scene.objects)
    return QA(ask, NUMBERS[number], "count")


def _present_or_any(random: Random, present: list[str], every: tuple[str, ...]) -> str:
    return random.choice(present) if present and random.random() < 0.8 else random.choice(every)


def _plural(name: str) -> str:
    return name + ("es" if name.endswith("s") else "s")


def _position(scene: Scene, random: Random) -> QA | None:
    item = random.choice(scene.objects)
    if _only(scene, lambda other: other.words == item.words):
        names = [f"the {item.phrase}"]
        if _only(scene, lambda other: _noun(other) == _noun(item)):
            names.append(f"the {_noun(item)}")
        if _only(scene, lambda other: other.color == item.color):
            names.append(f"the {item.color} object")
        name = random.choice(names)
        return QA(
            random.choice((f"Where is {name}?", f"In which place is {name}?")), _place_phrase(item.place), "position"
        )
    return None


def _comparison(scene: Scene, random: Random) -> QA | None:
    if random.random() < 0.5:
        first, second = random.sample(
            sorted({i.name for i in scene.objects if i.kind == "shape"} | set(random.sample(SHAPES, 2))), 2
        )
        more, fewer = (sum(item.name == name for item in scene.objects) for name in (first, second))
        if more == fewer and random.random() < 0.7:
            return None
        return QA(
            f"Are there more {_plural(first)} than {_plural(second)}?", "yes" if more > fewer else "no", "comparison"
        )
    words = [item.words for item in scene.objects]
    pair = [item for item in scene.objects if words.count(item.words) == 1]
    if len(pair) < 2:
        return None
    first_item, second_item = random.sample(pair, 2)
    relation, axis = random.choice((("left of", 0), ("right of", 0), ("above", 1), ("below", 1)))
    ours, theirs = PLACES[first_item.place][axis], PLACES[second_item.place][axis]
    if ours == theirs:
        return None
    holds = (ours < theirs) == (relation in ("left of", "above"))
    ask = f"Is the {first_item.phrase} {relation} the {second_item.phrase}?"
    return QA(ask, "yes" if holds else "no", "comparison")


def _yes_no(scene: Scene, random: Random) -> QA | None:
    truth = random.random() < 0.5
    item = random.choice(scene.objects)
    color, name, kind, at = item.color, item.name, item.kind, item.place
    if not truth:
        # A hard negative: one attribute of a real object is changed, often to that of another object.
        other = random.choice(scene.objects)
        change = random.choice(("color", "name"))
        if change == "color":
            color = other.color if random.random() < 0.5 else random.choice(tuple(COLORS))
        else:
            name = _other_name(random, item)
    way = (
        random.choice(("pair", "place", "color")) if truth or color != item.color else random.choice(("pair", "place"))
    )
    if way == "color":
        there = any(thing.color == color for thing in scene.objects)
        return QA(f"Do you see anything {color}?", "yes" if there else "no", "yes_no")
    phrase = f"{color} word {name}" if kind == "word" else f"{color} {name}"
    there = any(thing.words == (color, name) and (way == "pair" or thing.place == at) for thing in scene.objects)
    if there != truth:
        return None
    where = f" {_place_phrase(at)}" if way == "place" else ""
    return QA(f"Is there {_with_indefinite_article(phrase)}{where}?", "yes" if there else "no", "yes_no")


def _other_name(random: Random, item: SceneObject) -> str:
    return random.choice({"shape": SHAPES, "digit": DIGITS, "word": WORDS}[item.kind])


def _reading(scene: Scene, random: Random) -> QA | None:
    written = [item for item in scene.objects if item.kind != "shape"]
    if not written:
        return None
    item = random.choice(written)
    thing = item.kind
    asks = [f"What {thing} is {_place_phrase(item.place)}?"]
    if _only(scene, lambda other: other.kind == thing):
        asks += [f"What {thing} is shown?", f"Which {thing} do you see?"]
        asks.append("Read the word." if thing == "word" else "Read the digit.")
    return QA(random.choice(asks), item.name, "reading")


def _caption(scene: Scene, random: Random) -> QA | None:
    return QA(DESCRIBE, description(scene), "caption")


_MAKERS: dict[str, Callable[[Scene, Random], QA | None]] = dict(
    zip(KINDS, (_color, _shape, _count, _position, _comparison, _yes_no, _reading, _caption), strict=True)
)
