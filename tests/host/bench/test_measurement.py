"""Rounds alternate, spreads are computed correctly, and a child's output is received."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.measurement import Spread, in_child, interleaved, memory_bytes, peak_memory_bytes


def test_every_second_round_is_reversed() -> None:
    order: list[str] = []
    steps: list[tuple[int, int]] = []

    def run(name: str) -> dict[str, float]:
        order.append(name)
        return {"figure_s": float(len(order)), "other_s": 1.0}

    found = interleaved(
        {name: lambda name=name: run(name) for name in "abc"}, 3, lambda stage, done, total: steps.append((done, total))
    )
    assert "".join(order) == "abccbaabc"
    assert found["a"]["figure_s"].samples == (1.0, 6.0, 7.0)
    assert found["c"]["figure_s"].samples == (3.0, 4.0, 9.0)
    assert set(found["b"]) == {"figure_s", "other_s"}
    assert steps == [(done, 9) for done in range(10)]


def test_one_slow_round_barely_changes_median_and_quartiles() -> None:
    spread = Spread((4.0, 1.0, 2.0, 3.0, 100.0))
    assert (spread.median, spread.quartiles) == (3.0, (2.0, 4.0))
    assert Spread((7.0,)).quartiles == (7.0, 7.0)
    assert spread.to_json() == {"median": 3.0, "quartiles": [2.0, 4.0], "samples": [4.0, 1.0, 2.0, 3.0, 100.0]}


def test_a_child_that_fails_is_one_line() -> None:
    request = {"bundle": "/nowhere", "backend": "executorch", "threads": 1, "image": "/nowhere.png"}
    with pytest.raises(RunnerError, match=r"^/nowhere\.png: No such file"):
        in_child("mobilevlm_host.bench.bench_round", request)


def test_a_child_that_is_killed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "killed.py").write_text("import os; print('so far', flush=True); os.kill(os.getpid(), 9)")
    with pytest.raises(RunnerError, match=r"^killed: ended with exit code -9, expected figures"):
        in_child("killed", {})


def test_memory_is_of_this_process() -> None:
    before = memory_bytes()
    fill_contexts = bytearray(b"x") * 200_000_000
    assert memory_bytes() - before > 150_000_000
    assert len(fill_contexts) == 200_000_000
    del fill_contexts
    assert memory_bytes() - before < 100_000_000
    assert peak_memory_bytes() - before > 150_000_000
