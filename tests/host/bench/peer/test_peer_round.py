"""The calls of a round, with the kit's engine in a separate process, and with an engine that records its calls."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from repository import ROOT
from tiny import TINY

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.measurement import in_child
from mobilevlm_host.bench.peer.peer_round import Job, Prompt, answers, measure

SIDE = TINY.vision.image_size


class Diary:
    """An engine that records its calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def ids(self, asked: Prompt) -> tuple[list[int], list[int]]:
        self.lines.append("ids")
        return asked.before_ids, asked.after_ids

    def encode(self, pixels: NDArray[np.uint8]) -> object:
        self.lines.append(f"encode {pixels.shape}")
        return None

    def reset(self) -> None:
        self.lines.append("reset")

    def feed(self, ids: list[int]) -> None:
        self.lines.append(f"feed {len(ids)}")

    def show(self, pixels: NDArray[np.uint8]) -> None:
        self.lines.append(f"show {int(pixels[0, 0, 0])}")

    def generate(self, ids: list[int], max_new_tokens: int) -> list[int]:
        self.lines.append(f"generate {len(ids)} {max_new_tokens}")
        return [max_new_tokens]


def test_a_round_asks_twice_then_prefills_decodes_and_encodes(job: Job) -> None:
    engine = Diary()
    figures = measure(lambda: engine, job)
    before, after = len(job.prompts[0].before_ids), len(job.prompts[0].after_ids)
    asks = ["reset", f"feed {before}", "show 1", f"generate {after} 1"]
    prefills = ["reset", "feed 30"]
    encodes = [f"encode {(SIDE, SIDE, 3)}"] * 3
    assert engine.lines == ["ids", *asks, *asks, *prefills, *prefills, *["feed 1"] * 24, *encodes]
    assert figures["peak_memory_bytes"] > figures["own_memory_bytes"] >= 0
    assert figures["ttft_s"] > figures["ttft_prepared_s"]


def test_each_image_is_asked_about_from_scratch(job: Job) -> None:
    engine = Diary()
    assert answers(lambda: engine, replace(job, answers=9)) == [[9], [9]]
    assert [line for line in engine.lines if line.startswith(("show", "generate"))] == [
        "show 1",
        f"generate {len(job.prompts[0].after_ids)} 9",
        "show 2",
        f"generate {len(job.prompts[1].after_ids)} 9",
    ]


def test_a_job_round_trips_through_its_file(job: Job) -> None:
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_the_kits_engine_answers_as_the_model(
    job: Job, expected: list[list[int]], tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "job.json").write_text(json.dumps(replace(job, files=[str(tiny_bundle.path)], answers=12).to_json()))
    got = in_child("mobilevlm_host.bench.peer.kit_engine", {"job": str(tmp_path / "job.json")})
    assert got == {"answers": expected}


def test_the_kits_engine_is_measured(
    job: Job, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "job.json").write_text(json.dumps(replace(job, files=[str(tiny_bundle.path)]).to_json()))
    figures = in_child("mobilevlm_host.bench.peer.kit_engine", {"job": str(tmp_path / "job.json")})
    assert all(value > 0 for value in figures.values())


def test_other_ids_of_the_prompt_are_refused(
    job: Job, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    other = replace(job.prompts[0], after_ids=[5, *job.prompts[0].after_ids])
    wrong = replace(job, files=[str(tiny_bundle.path)], prompts=[other])
    (tmp_path / "job.json").write_text(json.dumps(wrong.to_json()))
    given = str([job.prompts[0].before_ids, job.prompts[0].after_ids])[1:-1]
    said = f"{tiny_bundle.path}: got ids ({given}) for the prompt from its tokenizer, expected "
    with pytest.raises(RunnerError, match=re.escape(said)):
        in_child("mobilevlm_host.bench.peer.kit_engine", {"job": str(tmp_path / "job.json")})


def test_limits_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    limits = in_child("mobilevlm_host.bench.peer.machine_limits", {"threads": 1})
    assert limits["memory_bytes_s"] > 1e8
    assert limits["int8_ops_s"] > 1e8


def test_load_includes_the_extra_time_of_the_first_question(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    class Lazy(Diary):
        """An image takes 5 seconds, the first one 3 more; feeding a token takes one second, a question 2."""

        def show(self, pixels: NDArray[np.uint8]) -> None:
            clock[0] += 5 if "show 1" in self.lines else 8
            super().show(pixels)

        def generate(self, ids: list[int], max_new_tokens: int) -> list[int]:
            clock[0] += 2
            return super().generate(ids, max_new_tokens)

        def feed(self, ids: list[int]) -> None:
            clock[0] += len(ids)
            super().feed(ids)

    def open_engine() -> Lazy:
        clock[0] += 4
        return Lazy()

    monkeypatch.setattr("mobilevlm_host.bench.measurement.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Lazy, "encode", lambda self, pixels: clock.__setitem__(0, clock[0] + 6))
    figures = measure(open_engine, job)
    before = len(job.prompts[0].before_ids)
    assert figures["load_s"] == 4 + 3
    assert figures["first_ttft_s"] == before + 8 + 2
    assert figures["ttft_s"] == before + 5 + 2
    assert figures["ttft_prepared_s"] == 2
    assert figures["image_encode_s"] == 6
    assert figures["prefill_tok_s"] == figures["decode_tok_s"] == 1
