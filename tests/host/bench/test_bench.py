"""``mvlm bench``: every figure is reported for each number of threads, and anything that can't be measured is rejected first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.errors import OutputError, RunnerError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.bench import bench_round as session
from mobilevlm_host.bench.bench_bundle import bench
from mobilevlm_host.bench.bench_report import PAGE, BenchReport, ThreadCountResult, render, write_report
from mobilevlm_host.bench.bench_round import Session, measure
from mobilevlm_host.bench.load_round import LoadSession
from mobilevlm_host.bench.measurement import Figures, Spread
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.engines import packed_load
from mobilevlm_host.engines.executorch import set_threads, thread_count
from mobilevlm_host.engines.packed_files import SETTING

PICTURE = DEMO_SAMPLES / "word-and-shapes.png"
SINGLE = {
    "imports_s",
    "load_s",
    "first_ttft_s",
    "ttft_s",
    "ttft_prepared_s",
    "image_encode_s",
    "peak_memory_bytes",
    "imports_memory_bytes",
    "private_memory_bytes",
}
METHODS = ["preprocess", "vision_encoder", "token_embedding", "text_decoder, prefill", "text_decoder, decode"]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_figure_for_each_number_of_threads(tiny_bundle: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    done = _run("bench", tiny_bundle.path, "--threads", 1, "--threads", 2, "--repeats", 2, "--json", "--report", page)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["repeats"], found["backend"], found["recipe"]) == (2, "executorch", "fp32")
    assert [system["threads"] for system in found["systems"]] == [1, 2]
    for system in found["systems"]:
        # A context of 256, less the sixteen tokens that are decoded after it.
        assert list(system["prefill_tok_s"]) == ["32", "64", "128", "256"]
        assert list(system["decode_tok_s"]) == ["64", "128", "240"]
        assert list(system["method_s"]) == list(system["method_share"]) == METHODS
        assert sum(system["method_share"].values()) == pytest.approx(1)
        assert set(system) == {
            *SINGLE,
            "threads_asked",
            "threads",
            "prefill_tok_s",
            "decode_tok_s",
            "method_s",
            "method_share",
        }
        for figure in (*(system[name] for name in SINGLE), *system["prefill_tok_s"].values()):
            assert len(figure["samples"]) == 2
            assert 0 < figure["quartiles"][0] <= figure["median"] <= figure["quartiles"][1]
        assert system["peak_memory_bytes"]["median"] > system["imports_memory_bytes"]["median"] > 1e8
        for whole, image, prepared in zip(
            *(system[name]["samples"] for name in ("ttft_s", "image_encode_s", "ttft_prepared_s")), strict=True
        ):
            assert whole == pytest.approx(image + prepared)
    text = page.read_text()
    assert text.startswith("<!doctype html><!-- mvlm bench -->")
    assert text.count("<svg viewBox='0 0 480") + text.count('<svg viewBox="0 0 480') == 4  # two curves for two systems
    for said in ("1 thread<", "2 threads<", *METHODS):
        assert said in text


def _report(**figures: float) -> BenchReport:
    names = {
        "threads": 2,
        "weights_mapped": 0.0,
        **dict.fromkeys(SINGLE, 0.5),
        "prefill_tok_s@32": 100.0,
        "decode_tok_s@64": 20.0,
    }
    names |= {f"method_s@{method}": at for at, method in enumerate(METHODS)} | figures
    system = ThreadCountResult(None, {name: Spread((value, value)) for name, value in names.items()})
    return BenchReport("<b>.mvlm", "executorch", "int4", "p.png", 32, 2, 0.0, [system])


def test_the_table_has_units_and_spread() -> None:
    report = _report(ttft_s=1.25, peak_memory_bytes=2.5e9, **{"decode_tok_s@64": 123.4})
    rows = dict(report.rows())
    assert rows["first token"] == "1.25 s (1.25–1.25)"
    assert rows["load"] == "500 ms (500–500)"
    assert rows["peak memory"] == "2500 MB (2500–2500)"
    assert rows["decode after 64 tokens"] == "123 tok/s (123–123)"
    assert report.systems[0].name == "2 threads (the engine's choice)"
    assert dict(report.share_rows())["text_decoder, decode"] == "4 s  40 %"


def test_loads_with_and_without_the_file_of_packed_weights(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path / "weights"))
    monkeypatch.setattr(packed_load, "SMALLEST_BYTES", 0)
    for kind in (Session, LoadSession):
        monkeypatch.setattr(kind, "in_child", partialmethod(_in_fresh_process))
    report = bench(tiny_bundle, repeats=1, threads=[1])
    assert report.weights == "mapped"
    rows = dict(report.rows())
    assert {"load, packed weights mapped", "load, weights packed in memory"} <= set(rows)
    assert report.load_writing_s
    assert report.load_writing_s > report.systems[0].figures["load_s"].median
    plain = report.to_json()
    assert plain["weights"] == "mapped"
    assert plain["load_writing_s"] == report.load_writing_s
    assert plain["systems"][0]["load_in_memory_s"]["median"] > 0
    assert "packed weights" in render(report)
    assert len(list((tmp_path / "weights").iterdir())) == 2  # what was written to measure it is gone
    assert _report().weights == "in memory"


def _in_fresh_process(session: Session | LoadSession) -> Figures:
    """As :func:`in_child`, with packed weights for tiny programs."""
    module = type(session).__module__
    code = (
        "import json, runpy, sys; from mobilevlm_host.engines import packed_load; packed_load.SMALLEST_BYTES = 0; "
        f"sys.argv = ['', sys.argv[1]]; runpy.run_module('{module}', run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", code, json.dumps(asdict(session))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_the_page_is_self_contained_and_escapes_its_values() -> None:
    page = render(_report())
    assert "default-src 'none'" in page
    assert "&lt;b&gt;.mvlm" in page
    assert "<b>.mvlm" not in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_only_an_older_report_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "bench.html"
    write_report(_report(), page)
    write_report(_report(), page)
    page.write_text("mine")
    with pytest.raises(OutputError, match="exists and isn't a bench report"):
        PAGE.require_place(page)
    assert page.read_text() == "mine"


def test_what_cannot_be_measured_is_refused_in_one_line(
    tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "in_child", lambda self: pytest.fail("measured"))
    page = tmp_path / "page.html"
    page.write_text("mine")
    no_picture = tmp_path / "no.png"
    no_picture.write_text("text")
    (tmp_path / "empty.mvlm").mkdir()
    refused: dict[tuple[Any, ...], str] = {
        (tmp_path / "absent.mvlm",): "absent.mvlm: ",
        (tmp_path / "empty.mvlm",): "expected a bundle's manifest",
        (tiny_bundle.path, "--backend", "coreml"): "expected coreml",
        (tiny_coreml_bundle.path,): "evaluated in torch here, at a speed unrelated to a phone's",
        (tiny_bundle.path, "--image", no_picture): "no.png: ",
        (tiny_bundle.path, "--report", page): "exists and isn't a bench report",
    }
    for arguments, said in refused.items():
        done = _run("bench", *arguments)
        assert done.exit_code == 1, done.output
        assert done.stderr.splitlines()[-1].startswith("Error: ")
        assert said in done.stderr.splitlines()[-1]


def test_core_ml_is_measured_in_the_same_way(
    tiny_coreml_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mobilevlm_host.bench.bench_bundle._require_core_ml", lambda bundle: None)  # as on a Mac
    monkeypatch.setattr(Session, "in_child", measure)
    report = bench(tiny_coreml_bundle, repeats=1)
    assert {name.partition("@")[0] for name in report.systems[0].figures} == {
        *SINGLE, "threads", "weights_mapped", "prefill_tok_s", "decode_tok_s", "method_s",
    }  # fmt: skip


def test_each_context_is_filled_before_it_is_measured(tiny_bundle: Bundle) -> None:
    with Runner(tiny_bundle) as runner:
        fed: list[int] = []

        class Counting:
            def reset(self, keep: int = 0) -> int:
                fed.clear()
                return 0

            def feed(self, ids: list[int]) -> None:
                assert all(0 <= token < runner.tokenizer.vocab_size for token in ids)
                fed.append(len(ids))

        for name, _ in session._decode(runner, Counting()):  # type: ignore[arg-type]
            context = int(name.partition("@")[2])
            assert fed[-session._STEPS :] == [1] * session._STEPS
            assert sum(fed[: -session._STEPS]) == context
        assert sum(fed) == runner.manifest.max_context


def test_measuring_the_engine_does_not_change_the_conversation(tiny_bundle: Bundle) -> None:
    image = Image.new("RGB", (60, 60), "red")
    answers = []
    with Runner(tiny_bundle) as runner:
        for is_lent in (False, True):
            list(runner.ask(image, "What is this?", max_new_tokens=6))
            if is_lent:
                with runner.exclusive_engine() as engine:
                    engine.feed([5, 6, 7])
                    with pytest.raises(RunnerError, match="got a call during an answer"):
                        runner.follow_up("Why?")
            list(runner.follow_up("Why?", max_new_tokens=6))
            answers.append(runner.answer)
    assert answers[0] == answers[1]


def test_threads_apply_to_attention_too() -> None:
    before = thread_count(), torch.get_num_threads()
    try:
        for count in (2, 1):
            set_threads(count)
            assert (thread_count(), torch.get_num_threads()) == (count, count)
    finally:
        set_threads(before[0])
        torch.set_num_threads(before[1])
