"""``mvlm ask`` on a terminal: one answer as it comes, or a conversation about one picture."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import PromptError, RunnerError
from mobilevlm_export.progress import Progress
from mobilevlm_host.ask.conversation import require_limits
from mobilevlm_host.ask.runner import Runner


@dataclass(frozen=True)
class Asked:
    """What a question is asked with."""

    bundle: Path
    backend: str | None
    max_new_tokens: int
    temperature: float
    threads: int | None

    def __post_init__(self) -> None:
        require_limits(self.max_new_tokens, self.temperature)

    def open_runner(self, progress: Progress) -> Runner:
        """Verify and load the bundle."""
        bundle = Bundle.open(self.bundle, progress=progress)
        progress("loading the model", 0, 0)
        return Runner(bundle, threads=self.threads, backend=self.backend)

    def to_json(self, runner: Runner) -> dict[str, Any]:
        """The finished answer, as ``mvlm ask --json`` prints it."""
        return {
            "answer": runner.answer.text,
            "token_ids": runner.answer.token_ids,
            "stop_reason": runner.answer.stop_reason,
            "stats": asdict(runner.stats),
            "bundle": str(self.bundle),
            "backend": runner.backend,
            **runner.computed_by.to_json(),
        }


def begun(pieces: Iterator[str]) -> Iterator[str]:
    """``pieces``, of which the first has come."""
    first = next(pieces, "")
    return chain((first,), pieces)


def stream_answer(pieces: Iterable[str]) -> None:
    """Print ``pieces`` as they come, then end the line; a note on stderr if there was nothing to print."""
    empty = True
    for piece in pieces:
        empty = empty and not piece.strip()
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if empty:
        click.echo("(the model's answer is empty)", err=True)


def chat(runner: Runner, asked: Asked) -> None:
    """Read a question a line and answer it; the picture that ``runner`` has prepared and all before stay in the KV cache.

    An error in one question ends that question only.
    """
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401 — from now on input() edits lines and remembers them
        click.echo("One question a line. An empty line or Ctrl-D ends the conversation.", err=True)
    first = True
    while (question := _next_question(interactive)) is not None:
        try:
            ask = runner.ask_prepared if first else runner.follow_up
            stream_answer(ask(question, max_new_tokens=asked.max_new_tokens, temperature=asked.temperature))
            first = False
        except (PromptError, RunnerError) as error:
            click.echo(f"Error: {error}", err=True)
        except KeyboardInterrupt:
            runner.stop()
            click.echo()


def _next_question(interactive: bool) -> str | None:
    try:
        line = input("> " if interactive else "")
    except EOFError:
        return None
    return line.strip() or None
