"""``mvlm ask`` on a terminal: one streamed answer, or a conversation about one image."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click

from mobilevlm_export.bundle.open_bundle import open_bundle
from mobilevlm_export.errors import PromptError, RunnerError
from mobilevlm_export.progress import Progress
from mobilevlm_host.ask.conversation import require_limits
from mobilevlm_host.ask.runner import Runner


@dataclass(frozen=True)
class AskOptions:
    """The options of ``mvlm ask`` that apply to every question."""

    bundle: Path
    backend: str | None
    max_new_tokens: int
    temperature: float
    threads: int | None

    def __post_init__(self) -> None:
        require_limits(self.max_new_tokens, self.temperature)

    def open_runner(self, progress: Progress) -> Runner:
        """Download the bundle if it is on the hub, verify it, and load it."""
        bundle = open_bundle(self.bundle, progress)
        progress("loading the model", 0, 0)
        return Runner(bundle, threads=self.threads, backend=self.backend, progress=progress)

    def to_json(self, runner: Runner) -> dict[str, Any]:
        """The finished answer, as printed by ``mvlm ask --json``."""
        return {
            "answer": runner.answer.text,
            "token_ids": runner.answer.token_ids,
            "stop_reason": runner.answer.stop_reason,
            "stats": asdict(runner.stats),
            "bundle": str(runner.bundle.source),
            "backend": runner.backend,
            **runner.computed_by.to_json(),
        }


def begun(pieces: Iterator[str]) -> Iterator[str]:
    """``pieces``, with the first one already available."""
    first = next(pieces, "")
    return chain((first,), pieces)


def stream_answer(pieces: Iterable[str]) -> None:
    """Print ``pieces`` as they arrive, then a newline; print a note on stderr if the answer is empty."""
    empty = True
    for piece in pieces:
        empty = empty and not piece.strip()
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    if empty:
        click.echo("(the model's answer is empty)", err=True)


def chat(runner: Runner, options: AskOptions) -> None:
    """Read one question per line and answer it; the image prepared in ``runner`` and the conversation stay in the KV cache.

    After an error in one question, the conversation continues.
    """
    interactive = sys.stdin.isatty()
    if interactive:
        with suppress(ImportError):
            import readline  # noqa: F401 — enables line editing and history in input()
        click.echo("Type one question per line. An empty line or Ctrl-D ends the conversation.", err=True)
    first = True
    while (question := _next_question(interactive)) is not None:
        try:
            ask = runner.ask_prepared if first else runner.follow_up
            stream_answer(ask(question, max_new_tokens=options.max_new_tokens, temperature=options.temperature))
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
