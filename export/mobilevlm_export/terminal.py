"""What the commands draw on a terminal: progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from mobilevlm_export.progress import Progress

_PLAIN_INTERVAL_S = 10.0


@contextmanager
def drawn_progress() -> Iterator[Progress]:
    """Progress on stderr, with the time left: bars on a terminal, else a line a stage and one every ten seconds."""
    if not sys.stderr.isatty():
        yield _PlainProgress()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        stages: dict[str, Any] = {}

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total or None)
            finished = bool(total) and done >= total
            bars.update(stages[stage], completed=done, total=total or None)
            if finished:
                bars.stop_task(stages[stage])

        yield draw


class _PlainProgress:
    """Lines for logs: each stage once when it begins, then at most one every ten seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._drawn = 0.0
        self._begin = (0.0, 0)  # since when the stage is timed, and how much of it was done then
        self._first = True  # the stage's first step, which often pays for loading, is still to be done

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._begin, self._first = (now, done), True
        else:
            if self._first and done > self._begin[1]:
                self._begin, self._first = (now, done), False
            if now - self._drawn < _PLAIN_INTERVAL_S:
                return
        self._stage, self._drawn = stage, now
        count = f" {done}/{total}" if total and done else ""
        print(f"{stage}{count}{self._left(now, done, total)}", file=sys.stderr, flush=True)

    def _left(self, now: float, done: int, total: int) -> str:
        begin, done_then = self._begin
        if done == done_then or done >= total:
            return ""
        seconds = int((now - begin) / (done - done_then) * (total - done))
        return f", {timedelta(seconds=seconds)} left"


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; every column but the first is set to the right if its values are figures."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD if any(columns) else None, pad_edge=False)
    table.show_header = any(columns)
    for index, column in enumerate(columns):
        figures = index > 0 and all(row[index][:1].isdigit() or row[index] in ("", "-") for row in rows)
        table.add_column(column, justify="right" if figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)  # texts may hold what looks like markup
    console.print(title, style="italic", soft_wrap=True)  # as the table's own title it would wrap at the table's width
    console.print(table)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Names and values, one a line."""
    print_table(title, ("", ""), list(facts.items()))


def megabytes(count: int) -> str:
    """``count`` bytes for people: 1 MB is a million bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
