"""What int4 weights are calibrated with: images, each in the real prompt."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.demo.questions import questions
from mobilevlm_export.demo.scenes import TRAIN_SEEDS, make_scene, render
from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.pixels import open_images, preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer

MOST_IMAGES = 64
_TOKENS, _TEXT_TOKENS = 7000, 70  # in all, and about so many around an image; a 1.7B's widest linear has 5632 inputs
_QUESTIONS = ("Describe the image.", "What is in the picture?", "What color is it?", "How many are there?")


@dataclass(frozen=True)
class CalibrationText:
    """Token ids before and after an image, and its ``pixels`` uint8 [3, S, S]."""

    before: Sequence[int]
    pixels: Tensor
    after: Sequence[int]


@dataclass(frozen=True)
class CalibrationSet:
    """Texts with images, and a description of them for the bundle's manifest."""

    description: str
    texts: Sequence[CalibrationText]

    @property
    def sha256(self) -> str:
        """A hash of the texts and pixels."""
        whole = hashlib.sha256()
        for text in self.texts:
            whole.update(f"{list(text.before)} {tuple(text.pixels.shape)} {list(text.after)}".encode())
            whole.update(text.pixels.contiguous().numpy().data)
        return whole.hexdigest()


def image_count(config: MobileVLMConfig) -> int:
    """How many images a model is calibrated with: enough tokens, but no more, because each costs time."""
    return min(MOST_IMAGES, _TOKENS // (config.image_tokens + _TEXT_TOKENS))


def scenes(tokenizer: Tokenizer, config: MobileVLMConfig, progress: Progress = silent) -> CalibrationSet:
    """Generated scenes from the demo's training seeds (none held out), each with a question and its correct answer."""
    texts, count = [], image_count(config)
    for done, seed in enumerate(TRAIN_SEEDS[-count:]):
        progress("make calibration scenes", done, count)
        scene = make_scene(seed)
        [qa] = questions(scene, seed, count=1)
        answer = [*tokenizer.encode(qa.answer), config.eos_id]
        texts.append(_text(tokenizer, config, render(scene), qa.question, answer))
    progress("make calibration scenes", count, count)
    return CalibrationSet(f"{count} generated scenes", texts)


def read_folder(
    folder: Path, tokenizer: Tokenizer, config: MobileVLMConfig, progress: Progress = silent
) -> CalibrationSet:
    """The first images in ``folder``, sorted by name, each with one of a few questions.

    Raises:
        QuantizeError: the folder is missing or contains no image.
    """
    if not folder.is_dir():
        raise QuantizeError(f"{folder}: no such folder, expected images to calibrate with")
    texts, count = [], image_count(config)
    for at, (_, image) in enumerate(itertools.islice(open_images(folder), count)):
        progress("read calibration images", at, count)
        texts.append(_text(tokenizer, config, image, _QUESTIONS[at % len(_QUESTIONS)], []))
    progress("read calibration images", count, count)
    if not texts:
        raise QuantizeError(f"{folder}: got no image that can be opened, expected at least one to calibrate with")
    return CalibrationSet(f"{len(texts)} pictures of {folder.name}", texts)


def _text(
    tokenizer: Tokenizer, config: MobileVLMConfig, image: Image, question: str, answer: list[int]
) -> CalibrationText:
    before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(question)])
    assert isinstance(before, list)
    assert isinstance(after, list)
    return CalibrationText(before, preprocess(image, config), after + answer)
