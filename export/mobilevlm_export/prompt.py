"""The conversation template ``v1`` as segments: token ids and the image.

Source: the authors' ``conversation.py`` (``v1``, two separators) and ``tokenizer_image_token``: the texts before and after
the image are tokenized separately, BOS comes once at the start, and the ``</s>`` between turns is the end-of-text id.
Unlike the authors' code, ``<image>`` and ``</s>`` are special only in the template: in a user's question they are plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from mobilevlm_export.errors import PromptError
from mobilevlm_export.tokenizer import Tokenizer

TEMPLATE = "v1"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
USER, ASSISTANT = "USER", "ASSISTANT"
STOP_TEXT = "</s>"
QUESTION = "{question}"


class Mark(Enum):
    """The parts of a prompt that are not text."""

    IMAGE = "<image>"
    END = "</s>"


IMAGE: Literal[Mark.IMAGE] = Mark.IMAGE
END: Literal[Mark.END] = Mark.END

TextSegment = str | Mark
IdSegment = list[int] | Literal[Mark.IMAGE]


@dataclass(frozen=True)
class Turn:
    """A question and its answer; the question to be answered has none yet."""

    question: str
    answer: str | None = None

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise PromptError("question: got an empty text, expected a question")
        for name, text in (("question", self.question), ("answer", self.answer or "")):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise PromptError(
                    f"{name}: got {text[error.start]!a} at character {error.start + 1}, expected text in UTF-8"
                ) from None


@dataclass(frozen=True)
class Template:
    """The texts of a conversation, as stored in a manifest; the last two have ``{question}`` where the question goes."""

    before_image: str
    after_image: str
    follow_up: str

    def first(self, question: str) -> str:
        """The text after the image that asks the first ``question``."""
        return self.after_image.replace(QUESTION, question, 1)

    def next(self, question: str) -> str:
        """The text after a finished answer and its end that asks another ``question``."""
        return self.follow_up.replace(QUESTION, question, 1)

    def spelled_for(self, tokenizer: Tokenizer) -> Template:
        """These texts for the file of :meth:`Tokenizer.write_plain`, with the leading space that such a tokenizer doesn't add."""
        if tokenizer.legacy:
            return self
        return Template(f" {self.before_image}", f" {self.after_image}", self.follow_up)


V1 = Template(
    before_image=f"{SYSTEM} {USER}: ",
    after_image=f"\n{QUESTION} {ASSISTANT}:",
    follow_up=f"{USER}: {QUESTION} {ASSISTANT}:",
)


def prefix() -> str:
    """The constant text before the image."""
    return V1.before_image


def after_image(question: str) -> str:
    """The text after the image that asks the first ``question``."""
    return V1.first(question)


def follow_up(question: str) -> str:
    """The text after a finished answer that asks another ``question``."""
    return V1.next(question)


def text_segments(turns: Sequence[Turn], template: Template = V1) -> list[TextSegment]:
    """``turns`` in ``template``: texts, the image in the first turn, and the end of each answer.

    Raises:
        PromptError: there is no turn, or a turn before the last has no answer.
    """
    if not turns:
        raise PromptError("conversation: got no turns, expected at least one question")
    segments: list[TextSegment] = [template.before_image, IMAGE]
    text = template.first(turns[0].question)
    for index, turn in enumerate(turns):
        last = index == len(turns) - 1
        if turn.answer is None:
            if not last:
                raise PromptError(
                    f"conversation: turn {index + 1} has no answer, expected one before the next question"
                )
            segments.append(text)
            break
        segments += [f"{text} {turn.answer}", END]
        if not last:
            text = template.next(turns[index + 1].question)
    return segments


def encode_segments(tokenizer: Tokenizer, turns: Sequence[Turn], template: Template = V1) -> list[IdSegment]:
    """Token ids of ``turns`` before and after the image, with BOS once at the start."""
    encoded: list[IdSegment] = []
    ids = [tokenizer.bos_id]
    encode = tokenizer.encode
    for segment in text_segments(turns, template):
        if segment is IMAGE:
            encoded += [ids, IMAGE]
            ids = []
        elif isinstance(segment, str):
            ids += encode(segment)
        else:
            ids.append(tokenizer.eos_id)
            encode = tokenizer.encode_after_end
    return [*encoded, ids]


def before_image_ids(tokenizer: Tokenizer, template: Template = V1) -> list[int]:
    """Ids of the constant text before the image, BOS first."""
    return [tokenizer.bos_id, *tokenizer.encode(template.before_image)]


def after_image_ids(tokenizer: Tokenizer, question: str, template: Template = V1) -> list[int]:
    """Ids after the image that ask the first ``question``.

    Raises:
        PromptError: the question is empty.
    """
    return tokenizer.encode(template.first(Turn(question).question))


def first_turn_ids(tokenizer: Tokenizer, question: str, template: Template = V1) -> tuple[list[int], list[int]]:
    """Ids before and after the image; errors as :func:`after_image_ids`."""
    return before_image_ids(tokenizer, template), after_image_ids(tokenizer, question, template)


def follow_up_ids(tokenizer: Tokenizer, question: str, template: Template = V1) -> list[int]:
    """Ids that ask another ``question`` when the KV cache ends with an answer: the end-of-text id, then the next turn.

    Raises:
        PromptError: the question is empty.
    """
    return [tokenizer.eos_id, *tokenizer.encode_after_end(template.next(Turn(question).question))]
