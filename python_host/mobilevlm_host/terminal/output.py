"""What the commands draw on a terminal: progress on stderr, tables and JSON on stdout."""

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

# In indented JSON; inside its strings there are no line ends.
_NUMBERS = re.compile(r"\[\n\s*(?:[-\d.eE+]+|NaN|-?Infinity|null)(?:,\n\s*(?:[-\d.eE+]+|NaN|-?Infinity|null))*\n\s*\]")
_LONGEST_WORD = 40  # in a table: what is longer, as a path may be, can be broken
_drawn: TerminalProgress | None = None  # on the terminal now


@contextmanager
def drawn_progress() -> Iterator[Progress]:
    """Progress on stderr, with the time left: a bar on a terminal, else a line a stage and one every ten seconds."""
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
    """``text`` as a line of stdout, or stderr, that no bar writes over."""
    with _drawn.hidden() if _drawn else nullcontext():
        print(text, file=sys.stderr if err else sys.stdout, flush=True)


def print_json(value: Any) -> None:
    """One JSON object on stdout, in ASCII if it holds what can't be printed there otherwise; lists of numbers take one line each."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    print(_NUMBERS.sub(lambda found: re.sub(r"\n\s*", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; every column but the first is set to the right if its values are figures. No word is broken if there is room."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # Texts may hold what looks like markup.
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD if any(columns) else None, pad_edge=False)
    table.show_header = any(columns)
    cells = [[column, *(row[index] for row in rows)] for index, column in enumerate(columns)]
    around = 3 * len(columns) - 1  # between columns, and at the edges
    for index, width in enumerate(_widths(cells, console.width - around)):
        figures = index > 0 and all(row[index][:1].isdigit() or row[index] in ("", "-") for row in rows)
        table.add_column(columns[index], justify="right" if figures else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*row)
    console.print(title, style="italic", soft_wrap=True)  # as the table's own title it would wrap at the table's width
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Of each column of cells, so that all fit into ``room`` and no word is broken; None where rich does as well."""
    from rich.cells import cell_len

    whole = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    widths = [min(word, _LONGEST_WORD) for word in words]
    left = room - sum(widths)
    if sum(whole) <= room or left < 0:
        return [None] * len(columns)
    # Short texts get what they lack first, so that long ones share what remains.
    wanting = sorted(range(len(columns)), key=lambda index: whole[index] - widths[index])
    for place, index in enumerate(wanting):
        more = min(whole[index] - widths[index], left // (len(columns) - place))
        widths[index] += more
        left -= more
    return [*widths]


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Names and values, one a line."""
    print_table(title, ("", ""), list(facts.items()))
