"""Output of the commands: progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from mobilevlm_export.progress import Progress
from mobilevlm_host.terminal.progress_bar import PlainProgress, TerminalProgress

# Lists of numbers in indented JSON, whose strings contain no newlines.
_NUMBERS = re.compile(r"\[\n\s*(?:[-\d.eE+]+|NaN|-?Infinity|null)(?:,\n\s*(?:[-\d.eE+]+|NaN|-?Infinity|null))*\n\s*\]")
_LONGEST_WORD = 40  # in a table: longer words, such as paths, may be broken
_drawn: TerminalProgress | None = None  # currently on the terminal


@contextmanager
def drawn_progress() -> Iterator[Progress]:
    """Progress on stderr with the remaining time: a bar on a terminal, otherwise a line per stage and every ten seconds."""
    global _drawn
    if _drawn or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _drawn or PlainProgress()
        return
    _drawn = TerminalProgress(sys.stderr)
    try:
        yield _drawn
    finally:
        _drawn.close()
        _drawn = None


def say(text: str, *, err: bool = False) -> None:
    """Print ``text`` as a line on stdout or stderr, without disturbing the progress bar."""
    with _drawn.hidden() if _drawn else nullcontext():
        print(text, file=sys.stderr if err else sys.stdout, flush=True)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout, escaped to ASCII if the terminal can't print it; each list of numbers is on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(_NUMBERS.sub(lambda found: re.sub(r"\n\s*", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout. Columns of numbers, except the first, are right-aligned. Words are broken only for lack of space."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # Text that looks like markup must be printed literally.
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD if any(columns) else None, pad_edge=False)
    table.show_header = any(columns)
    cells = [[column, *(row[index] for row in rows)] for index, column in enumerate(columns)]
    around = 3 * len(columns) - 1  # spacing between columns and at the edges
    for index, width in enumerate(_widths(cells, console.width - around)):
        figures = index > 0 and all(row[index][:1].isdigit() or row[index] in ("", "-") for row in rows)
        table.add_column(columns[index], justify="right" if figures else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    console.print(title, style="italic", soft_wrap=True)  # the table's own title would wrap at the table's width
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Column widths that fit into ``room`` without breaking words; None where rich's own choice is as good."""
    from rich.cells import cell_len

    whole = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    widths = [min(word, _LONGEST_WORD) for word in words]
    left = room - sum(widths)
    if sum(whole) <= room or left < 0:
        return [None] * len(columns)
    # Narrow columns get the width they need first, then wide ones share the rest.
    wanting = sorted(range(len(columns)), key=lambda index: whole[index] - widths[index])
    for place, index in enumerate(wanting):
        more = min(whole[index] - widths[index], left // (len(columns) - place))
        widths[index] += more
        left -= more
    return [*widths]


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print names and values, one pair per line."""
    print_table(title, ("", ""), list(facts.items()))
