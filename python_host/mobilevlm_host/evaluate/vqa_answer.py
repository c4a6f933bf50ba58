"""The normal form in which VQA scorers compare short answers: no articles, digits for number words, apostrophes restored.

Source: the EvalAI answer processor of the VQA and TextVQA challenges, as in MMF and LLaVA; its quirks are part of the metric and kept.
"""

from __future__ import annotations

import re

_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = "zero one two three four five six seven eight nine ten"
_DIGITS = {word: str(value) for value, word in enumerate(_NUMBERS.split())} | {"none": "0"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`!'
_PERIOD = re.compile(r"\.(?!\d)")  # keeps the point of 2.5
_MOST_PERIODS = 32  # the reference passes a flag as re.sub's count, which limits the removals
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
    how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
    oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
    someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
    where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
    y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _without_one_apostrophe(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at, letter in enumerate(word) if letter == "'"]


_WITH_APOSTROPHES = {wrong: word for word in _CONTRACTIONS.split() for wrong in _without_one_apostrophe(word)} | {
    "somebody'd": "somebodyd"
}  # the other way round in the reference's table


def normal_answer(answer: str) -> str:
    """``answer`` as it is compared: lower case, words by single blanks."""
    text = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (_DIGITS.get(word, word) for word in text.split())
    return " ".join(_WITH_APOSTROPHES.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(text: str) -> str:
    cleaned = text
    for mark in _PUNCTUATION:
        # A mark that touches a blank anywhere goes everywhere; one that only joins words becomes a blank.
        joined = "" if f"{mark} " in text or f" {mark}" in text else " "
        cleaned = cleaned.replace(mark, joined)
    return _PERIOD.sub("", cleaned, count=_MOST_PERIODS)
