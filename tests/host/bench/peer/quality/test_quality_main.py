"""``python -m mobilevlm_host.bench.peer.quality``: mistakes are one-line errors before any long work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_llama_cpp import FakeLlamaCpp

from mobilevlm_host.bench.peer.quality import compare_quality as comparing
from mobilevlm_host.bench.peer.quality.__main__ import main
from mobilevlm_host.bench.peer.quality.quality_report import QualityComparison


@pytest.fixture(autouse=True)
def _peer(llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch) -> None:
    llama_cpp.install(monkeypatch)
    monkeypatch.setattr("mobilevlm_host.bench.peer.quality.quality_report.version", lambda name: f"{name} 1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_options_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def compare(questions: int, threads: int, _: object) -> QualityComparison:
        asked.append((questions, threads))
        return QualityComparison(questions, [])

    monkeypatch.setattr(comparing, "compare_quality", compare)
    done = run("--questions", 7, "--threads", 3, "--page", tmp_path / "a.html", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["questions"] == 7
    assert asked == [(7, 3)]
    assert (tmp_path / "a.html").is_file()


def test_a_page_that_cant_be_written_is_refused_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparing, "compare_quality", lambda *_: pytest.fail("compared"))
    (tmp_path / "mine.html").write_text("mine")
    done = run("--page", tmp_path / "mine.html")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {tmp_path}/mine.html: exists and isn't a quality page")
    assert run("--questions", 0).exit_code == 2


def test_the_peer_and_its_tool_are_required_first(monkeypatch: pytest.MonkeyPatch, llama_cpp: FakeLlamaCpp) -> None:
    monkeypatch.setattr(comparing, "load_checkpoint", lambda *_: pytest.fail("started"))
    monkeypatch.setattr(sys.modules["llama_cpp"], "__path__", ["/absent"])
    done = run()
    assert done.exit_code == 1
    assert "llama-imatrix: no such file, expected llama.cpp's tool; make bench QUALITY=1" in done.stderr
    monkeypatch.setitem(sys.modules, "llama_cpp.mtmd_cpp", None)
    assert run().stderr.startswith("Error: llama.cpp: llama_cpp.mtmd_cpp can't be imported")
