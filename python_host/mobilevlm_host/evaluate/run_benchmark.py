"""One system through one benchmark: what is unanswered is asked, picture by picture, and kept as it comes."""

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

_NAMED = 10  # how many pictures or questions a message lists


@dataclass(frozen=True)
class Shown:
    """A picture and the questions to ask about it."""

    picture: str
    items: tuple[Item, ...]


# Answers the questions in any order, each once: item id, text.
Engine = Callable[[System, Benchmark, Sequence[Shown]], Iterable[tuple[str, str]]]


def run(
    whole: Benchmark,
    benchmark: Benchmark,
    system: System,
    predictions: Path,
    engine: Engine,
    progress: Progress = silent,
) -> Evaluation:
    """Ask ``system`` the questions of ``benchmark`` that ``predictions`` doesn't answer yet, and score all. ``benchmark`` is the
    ``whole`` or its first pictures: a file begun with some goes on with more.

    Raises:
        EvaluateError: pictures are missing (before anything is asked), one can't be read, or ``predictions`` belongs to another run.
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
    return Evaluation(system.name, whole.name, predictions, answers, benchmark.score(answers), len(left))


def answer_here(system: System, benchmark: Benchmark, shown: Sequence[Shown]) -> Iterator[tuple[str, str]]:
    """The :data:`Engine` of this process."""
    with system.load() as conversation:
        for each in shown:
            yield from answer_image(conversation, benchmark, each)


def answer_image(conversation: Conversation, benchmark: Benchmark, shown: Shown) -> Iterator[tuple[str, str]]:
    """Item id and greedy answer of each question about one image, which is encoded once: the answer has at most the benchmark's
    tokens or what the context has room for, none if the question leaves no room.
    """
    conversation.prepare(benchmark.image(shown.picture))
    for item in shown.items:
        room = min(benchmark.max_new_tokens, conversation.spec.room(item.prompt))
        pieces = conversation.ask_prepared(item.prompt, max_new_tokens=room) if room > 0 else ()
        yield item.id, "".join(pieces)


def by_picture(items: Iterable[Item]) -> list[Shown]:
    """``items`` with those about one picture together, pictures in the order of their first question."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.picture, []).append(item)
    return [Shown(picture, tuple(group)) for picture, group in groups.items()]


def require_pictures(benchmark: Benchmark) -> None:
    """Raise EvaluateError if the folder lacks pictures that ``benchmark`` needs, with their names."""
    if missing := benchmark.missing():
        count = len({item.picture for item in benchmark.items})
        raise EvaluateError(f"{benchmark.name}: {len(missing)} of {count} pictures are missing: {_listed(missing)}")


def cut_short(benchmark: Benchmark, system: System) -> str | None:
    """One line on the questions whose prompt leaves less than the benchmark's longest answer of the system's context, if any."""
    room = {item.id: system.spec.room(item.prompt) for item in benchmark.items}
    short = [id for id, left in room.items() if left < benchmark.max_new_tokens]
    silent_ones = [id for id in short if room[id] < 1]
    if not short:
        return None
    line = (
        f"{len(short)} of {len(room)} prompts leave less than {benchmark.max_new_tokens} of {system.spec.max_context} tokens "
        f"for the answer, which may be cut short: {_listed(short)}"
    )
    return f"{line}; {len(silent_ones)} don't fit at all and are answered with nothing" if silent_ones else line


def default_predictions(benchmark: Benchmark, system: System) -> Path:
    """In the current folder, a name of its own for each system and benchmark."""
    name = Path(system.name).name.removesuffix(".zip").removesuffix(".mvlm") or "checkpoint"
    return Path(f"{name}-{system.sha256[:8]}.{benchmark.name}.jsonl")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
