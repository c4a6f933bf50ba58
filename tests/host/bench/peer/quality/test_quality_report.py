"""The tables, as text, as JSON and as a page with plots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilevlm_export.errors import OutputError
from mobilevlm_host.bench.peer.quality.exam import Faithfulness
from mobilevlm_host.bench.peer.quality.quality_page import PAGE, write_quality_page
from mobilevlm_host.bench.peer.quality.quality_report import (
    QualityComparison,
    QualityRow,
    QualityTable,
    print_quality,
)


def row(engine: str, name: str, size: int, kl: float, same: int) -> QualityRow:
    decoder, whole = (Faithfulness(200, same - at, kl * (1 + at), (kl / 2, kl * 2)) for at in (0, 1))
    return QualityRow(engine, name, size, decoder, size + 1_500_000, whole)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> QualityComparison:
    monkeypatch.setattr("mobilevlm_host.bench.peer.quality.quality_report.version", lambda name: f"{name} 1")
    rows = [
        row("mvlm", "int4", 1_740_000, 3e-4, 199),
        row("llama.cpp", "F16", 5_900_000, 2e-8, 200),
        row("llama.cpp", "Q4_K_M imatrix", 1_810_000, 2e-4, 198),
    ]
    return QualityComparison(200, [QualityTable("demo & more", rows), QualityTable("with outliers", rows[:2])])


def test_a_table_for_each_checkpoint(found: QualityComparison, capsys: pytest.CaptureFixture[str]) -> None:
    print_quality(found)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if "200 held-out questions" in line] == [
        "demo & more",
        "with outliers",
    ]
    quantized = next(line for line in lines if "imatrix" in line)
    cells = ["llama.cpp", "Q4_K_M", "imatrix", "1.8", "MB", "2.0e-04", "99.00%", "3.3", "MB", "4.0e-04", "98.50%"]
    assert quantized.split() == cells


def test_json_has_every_figure(found: QualityComparison) -> None:
    values = json.loads(json.dumps(found.to_json()))
    assert values["questions"] == 200
    assert values["versions"]["llama_cpp_python"] == "llama-cpp-python 1"
    [first, _] = values["checkpoints"]
    assert first["name"] == "demo & more"
    assert first["rows"][0]["decoder"] == {
        "questions": 200, "same": 199, "mean_kl": 3e-4, "kl_interval": [1.5e-4, 6e-4],
    }  # fmt: skip
    assert first["rows"][0]["model_bytes"] == 3_240_000


def test_the_page_plots_what_is_quantized(found: QualityComparison, tmp_path: Path) -> None:
    for _ in range(2):  # the second replaces the first
        write_quality_page(found, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert page.startswith(PAGE.first_line.decode())
    assert page.count("<figure") == 4
    assert page.count('r="4" class="dot own"') == 4 + 1  # one in the legend
    assert page.count('r="4" class="dot peer"') == 2 + 1
    assert page.count(">Q4_K_M imatrix<") == 2 + 1
    assert page.count(">F16<") == 2  # in the tables alone
    assert "demo &amp; more" in page
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(OutputError, match="isn't a quality page"):
        write_quality_page(found, tmp_path / "mine.html")
