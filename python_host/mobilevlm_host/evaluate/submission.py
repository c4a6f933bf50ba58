"""Write MMBench answers as the workbook that the official server accepts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mobilevlm_export.errors import EvaluateError
from mobilevlm_export.files.atomic_file import atomic_file, require_place
from mobilevlm_host.evaluate.benchmark import given_answers
from mobilevlm_host.evaluate.mmbench import MMBench

_LEFT_OUT = frozenset(("hint", "category", "source", "image", "comment", "l2-category"))
_PREDICTION_AT = 6  # the column of answers in the community's converter: after index, question, A, B, C, D


def write_submission(benchmark: MMBench, answers: Mapping[str, str], path: Path) -> None:
    """Write ``answers`` (item id → text) to ``path`` (.xlsx), row by row of the official table.

    Source: LLaVA's ``convert_mmbench_for_submission.py``: the table's columns without hint, categories, source, image and comment.

    Raises:
        EvaluateError: openpyxl isn't installed, the path exists or isn't .xlsx, or the answers don't match the items.
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
                cell.data_type = "s"  # text, even if it starts with an equals sign
    with atomic_file(path, error=EvaluateError, replaceable=_refuse_existing) as beside:
        workbook.save(beside)


def check_submission(path: Path) -> None:
    """Check in advance that ``write_submission`` can write its file.

    Raises:
        EvaluateError: openpyxl isn't installed, or ``path`` exists, isn't .xlsx, or is in a missing folder.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise EvaluateError("a submission needs openpyxl: pip install 'mobilevlm-kit[mmbench]'") from None
    if path.suffix != ".xlsx":
        raise EvaluateError(f"{path}: got {path.suffix or 'no suffix'}, expected a file name that ends in .xlsx")
    if not path.parent.is_dir():
        raise EvaluateError(f"{path.parent}: no such folder, expected one for {path.name}")
    require_place(path, error=EvaluateError, replaceable=_refuse_existing)


def _refuse_existing(path: Path) -> None:
    raise EvaluateError(f"{path}: already exists, expected a new file")
