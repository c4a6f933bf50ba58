"""Writes MMBench answers as the workbook that the official server takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.files.atomic_file import atomic_file, require_place
from mobilevlm_host.evaluate.benchmark import given_answers
from mobilevlm_host.evaluate.mmbench import MMBench

_LEFT_OUT = frozenset(("hint", "category", "source", "image", "comment", "l2-category"))
_PREDICTION_AT = 6  # the column where the community's converter puts the answers: after index, question, A, B, C, D


def write_submission(benchmark: MMBench, answers: Mapping[str, str], path: Path) -> None:
    """Write ``answers`` (item id → text) to ``path`` (.xlsx), row by row of the official table.

    Source: LLaVA's ``convert_mmbench_for_submission.py``: the table's columns without hint, categories, source, picture and comment.

    Raises:
        EvaluateError: openpyxl isn't installed, the path is taken or no .xlsx, or the answers aren't those of the items.
    """
    check_submission(path)
    from openpyxl import Workbook
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    given = given_answers(benchmark.items, answers)
    columns: list[str] = [column for column in benchmark.columns if column not in _LEFT_OUT]
    columns.insert(_PREDICTION_AT, "prediction")
    workbook = Workbook()
    sheet = workbook.active
    for at, column in enumerate(columns, 1):
        sheet.cell(1, at, column)
    for line, (id, row) in enumerate(benchmark.rows.items(), 2):
        for at, column in enumerate(columns, 1):
            value = given[id] if column == "prediction" else row[column]
            if column == "index":
                sheet.cell(line, at, int(value))
            elif value:
                cell = sheet.cell(line, at)
                cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)
                cell.data_type = "s"  # text, also where it begins with an equals sign
    with atomic_file(path, error=EvaluateError, replaceable=_taken) as beside:
        workbook.save(beside)


def check_submission(path: Path) -> None:
    """Raise what ``write_submission`` would about its file, before any work is done.

    Raises:
        EvaluateError: openpyxl isn't installed, or ``path`` is taken, no .xlsx, or in no folder.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise EvaluateError("a submission needs openpyxl: pip install 'mobilevlm-kit[mmbench]'") from None
    if path.suffix != ".xlsx":
        raise EvaluateError(f"{path}: got {path.suffix or 'no ending'}, expected a file that ends in .xlsx")
    if not path.parent.is_dir():
        raise EvaluateError(f"{path.parent}: no such folder, expected one for {path.name}")
    require_place(path, error=EvaluateError, replaceable=_taken)


def _taken(path: Path) -> None:
    raise EvaluateError(f"{path}: is there already, expected a new file")
