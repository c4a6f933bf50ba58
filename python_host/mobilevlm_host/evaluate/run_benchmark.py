"""Run one system on one benchmark: ask all unanswered questions, image by image, and save the answers as they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.ask.conversation import Conversation
from mobilevlm_host.evaluate.answer_file import AnswerFile, Header
from mobilevlm_host.evaluate.benchmark import Benchmark, Evaluation, Item
from mobilevlm_host.evaluate.system import System

_NAMED = 10  # the most images or questions that a message lists


@dataclass(frozen=True)
class ImageItems:
    """An image and the questions to ask about it."""

    picture: str
    items: tuple[Item, ...]


# Answers all questions, in any order: yields item id and text.
AnswerFunction = Callable[[System, Benchmark, Sequence[ImageItems]], Iterable[tuple[str, str]]]


def run(
    whole: Benchmark,
    benchmark: Benchmark,
    system: System,
    predictions: Path,
    engine: AnswerFunction,
    progress: Progress = silent,
) -> Evaluation:
    """Ask ``system`` the questions of ``benchmark`` that ``predictions`` doesn't answer yet, and score all answers. ``benchmark`` is
    the ``whole`` or its first images: a file with some answers is continued with more.

    Raises:
        EvaluateError: images are missing (before anything is asked), one can't be read, or ``predictions`` is from another run.
    """
    require_pictures(benchmark)
    with AnswerFile(predictions, Header.of(whole, system.name, system.sha256)) as file:
        left = [item for item in benchmark.items if item.id not in file.answers]
        done, total = len(benchmark.items) - len(left), len(benchmark.items)
        if left:
            stage = f"{system.name} on {benchmark.name}"
            progress(stage, done, total)
            for id, answer in engine(system, benchmark, by_picture(left)):
                file.add(id, answer)
                done += 1
                progress(stage, done, total)
        answers = {item.id: file.answers[item.id] for item in benchmark.items}
    scores = benchmark.score(answers)
    return Evaluation(system.name, whole.name, predictions, answers, scores, len(left), system.artifact_sha256)


def answer_here(system: System, benchmark: Benchmark, image_items: Sequence[ImageItems]) -> Iterator[tuple[str, str]]:
    """The :data:`AnswerFunction` that answers in this process."""
    with system.load() as conversation:
        for each in image_items:
            yield from answer_image(conversation, benchmark, each)


def answer_image(
    conversation: Conversation, benchmark: Benchmark, image_items: ImageItems
) -> Iterator[tuple[str, str]]:
    """The item id and greedy answer of each question about one image, which is encoded once. An answer is limited by the benchmark's
    maximum and by the context; it is empty if the question leaves no room.
    """
    conversation.prepare(benchmark.image(image_items.picture))
    for item in image_items.items:
        room = min(benchmark.max_new_tokens, conversation.spec.room(item.prompt))
        pieces = conversation.ask_prepared(item.prompt, max_new_tokens=room) if room > 0 else ()
        yield item.id, "".join(pieces)


def by_picture(items: Iterable[Item]) -> list[ImageItems]:
    """``items`` grouped by image; images are in the order of their first question."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.picture, []).append(item)
    return [ImageItems(picture, tuple(group)) for picture, group in groups.items()]


def require_pictures(benchmark: Benchmark) -> None:
    """Raise EvaluateError, with their names, if images of ``benchmark`` are missing."""
    if missing := benchmark.missing():
        count = len({item.picture for item in benchmark.items})
        raise EvaluateError(f"{benchmark.name}: {len(missing)} of {count} images are missing: {_listed(missing)}")


def cut_short(benchmark: Benchmark, system: System) -> str | None:
    """One line about questions whose prompt leaves less room in the system's context than the benchmark's maximum answer, if any."""
    room = {item.id: system.spec.room(item.prompt) for item in benchmark.items}
    short = [id for id, left in room.items() if left < benchmark.max_new_tokens]
    silent_ones = [id for id in short if room[id] < 1]
    if not short:
        return None
    line = (
        f"{len(short)} of {len(room)} prompts leave less than {benchmark.max_new_tokens} of {system.spec.max_context} tokens "
        f"for the answer, which may be truncated: {_listed(short)}"
    )
    return f"{line}; {len(silent_ones)} don't fit at all and get an empty answer" if silent_ones else line


def default_predictions(benchmark: Benchmark, system: System) -> Path:
    """A path in the current folder that is unique to the system and benchmark."""
    name = Path(system.name).name.removesuffix(".zip").removesuffix(".mvlm") or "checkpoint"
    return Path(f"{name}-{system.sha256[:8]}.{benchmark.name}.jsonl")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
