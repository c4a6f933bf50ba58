"""Conversations about images → token ids and labels.

Source: the LLaVA/ShareGPT4V JSON format and the authors' ``preprocess_plain`` and ``preprocess_v1``: stage 1 learns the
caption after a prompt of only the image; stage 2 learns the answers and their end after the v1 prompt. Everything else
is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mobilevlm_export import prompt
from mobilevlm_export.errors import TrainError
from mobilevlm_export.files.strict_json import JsonError, parse_json
from mobilevlm_export.tokenizer import Tokenizer

TemplateName = Literal["plain", "v1"]
IGNORED = -100  # torch's ignored class
_PLACEHOLDER = "<image>"


@dataclass(frozen=True)
class TrainingSample:
    """One image (a file name, or None for text only) and the turns of a conversation about it."""

    image: str | None
    turns: tuple[prompt.Turn, ...]


@dataclass(frozen=True)
class Tokens:
    """Ids and labels of a sample's text; the image's embeddings are inserted at ``image_at`` (None: no image)."""

    ids: list[int]
    labels: list[int]
    image_at: int | None


def read_conversations(path: Path) -> list[TrainingSample]:
    """The samples of a JSON list in LLaVA's format: ``image`` and ``conversations`` of ``from`` and ``value``.

    Raises:
        TrainError: the file is missing or malformed; the message names the entry and its field.
    """
    try:
        entries = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainError(f"{path}: no such file, expected a JSON list of conversations") from None
    except JsonError as error:
        raise TrainError(f"{path}: got {error}, expected a JSON list of conversations") from None
    except OSError as error:
        raise TrainError(f"{path}: {error.strerror}, expected a JSON list of conversations") from None
    if not isinstance(entries, list) or not entries:
        raise TrainError(
            f"{path}: got {'an empty list' if entries == [] else type(entries).__name__}, expected a JSON list"
        )
    return [_sample(entry, f"{path}: entry {index}") for index, entry in enumerate(entries)]


def _sample(entry: Any, where: str) -> TrainingSample:
    if not isinstance(entry, dict):
        raise TrainError(f"{where}: got {type(entry).__name__}, expected an object")
    image, messages = entry.get("image"), entry.get("conversations")
    if image is not None and not isinstance(image, str):
        raise TrainError(f"{where}: image: got {image!r}, expected a file name")
    if not isinstance(messages, list) or not messages or len(messages) % 2:
        raise TrainError(f"{where}: conversations: got {messages!r:.60}, expected turns of human and gpt")
    turns = []
    for index in range(0, len(messages), 2):
        question = _text(messages[index], "human", f"{where}: conversations[{index}]").replace(_PLACEHOLDER, "").strip()
        answer = _text(messages[index + 1], "gpt", f"{where}: conversations[{index + 1}]").strip()
        turns.append(prompt.Turn(question or "Describe the image.", answer))
    return TrainingSample(image, tuple(turns))


def _text(message: Any, speaker: str, where: str) -> str:
    if not isinstance(message, dict) or message.get("from") != speaker:
        got = message.get("from") if isinstance(message, dict) else message
        raise TrainError(f"{where}.from: got {got!r:.60}, expected {speaker!r}")
    value = message.get("value")
    if not isinstance(value, str):
        raise TrainError(f"{where}.value: got {value!r:.60}, expected text")
    return value


def tokenize(tokenizer: Tokenizer, sample: TrainingSample, template: TemplateName, max_tokens: int) -> Tokens:
    """Ids and labels of ``sample``, truncated to ``max_tokens`` (not counting the image's tokens)."""
    tokens = _plain(tokenizer, sample) if template == "plain" else _v1(tokenizer, sample)
    return Tokens(tokens.ids[:max_tokens], tokens.labels[:max_tokens], tokens.image_at)


def _plain(tokenizer: Tokenizer, sample: TrainingSample) -> Tokens:
    """BOS, image, caption, end; the question is not used."""
    answers = [turn.answer or "" for turn in sample.turns]
    learned = [*tokenizer.encode("\n".join(answers)), tokenizer.eos_id]
    return Tokens([tokenizer.bos_id, *learned], [IGNORED, *learned], 1 if sample.image else None)


def _v1(tokenizer: Tokenizer, sample: TrainingSample) -> Tokens:
    """The prompt as in inference; an answer is learned from the token after ``ASSISTANT:`` to its end."""
    ids = [tokenizer.bos_id]
    labels = [IGNORED]
    image_at = None
    for index, turn in enumerate(sample.turns):
        encode = tokenizer.encode_after_end if index else tokenizer.encode
        if index > 0:
            text = prompt.follow_up(turn.question)
        elif sample.image:
            ids += tokenizer.encode(prompt.prefix())
            image_at = len(ids)
            text = prompt.after_image(turn.question)
        else:
            text = f"{prompt.prefix()}{turn.question} {prompt.ASSISTANT}:"
        labels += [IGNORED] * (len(ids) - len(labels))
        question_ids = encode(text)
        turn_ids = [*encode(f"{text} {turn.answer}"), tokenizer.eos_id]
        ids += turn_ids
        labels += [IGNORED] * len(question_ids) + turn_ids[len(question_ids) :]
    return Tokens(ids, labels, image_at)


def group_by_length(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Every index once, in batches of samples of similar length, the batches in random order."""
    import random

    shuffler = random.Random(seed)
    order = list(range(len(lengths)))
    shuffler.shuffle(order)
    pool = batch_size * 50  # sorted within a pool: similar lengths together, but a different order every epoch
    batches = []
    for start in range(0, len(order), pool):
        chunk = sorted(order[start : start + pool], key=lambda index: lengths[index])
        batches += [chunk[at : at + batch_size] for at in range(0, len(chunk), batch_size)]
    shuffler.shuffle(batches)
    return batches
