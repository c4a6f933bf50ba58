"""What commands print."""

from __future__ import annotations

import json
import re
import time

import pytest

from mobilevlm_export.progress import Bytes
from mobilevlm_host.terminal.output import drawn_progress, print_json, print_table


def test_the_remaining_time_ignores_the_first_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with drawn_progress() as progress:
        for seconds, done in (
            (100.0, 20),
            (160.0, 21),
            (165.0, 24),
            (170.0, 26),
            (171.0, 27),
            (180.0, 31),
            (190.0, 100),
        ):
            now = seconds
            progress("asking", done, 100)
    # Loading takes the first minute; after that, each step takes two seconds.
    assert capsys.readouterr().err.splitlines() == [
        "asking 20/100",
        "asking 21/100",
        "asking 26/100, 0:02:28 left",
        "asking 31/100, 0:02:18 left",
        "asking 100/100",
    ]


def test_a_stage_that_begins_again_has_a_new_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = ((0.0, 0), (1.0, 10), (11.0, 60), (21.0, 100), (31.0, 0), (41.0, 2), (51.0, 12))
    with drawn_progress() as progress:
        for seconds, done in steps:
            now = seconds
            progress("hashing", done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "hashing",
        "hashing 60/100, 0:00:08 left",
        "hashing 100/100",
        "hashing",
        "hashing 2/100",
        "hashing 12/100, 0:01:28 left",
    ]


def test_bytes_are_shown_in_megabytes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with drawn_progress() as progress:
        for seconds, done in ((0.0, 0), (20.0, 1_500_000), (40.0, 2_000_000)):
            now = seconds
            progress("verifying", Bytes(done), Bytes(3_028_721))
        progress("copying", Bytes(1_100_000_000), Bytes(2_200_000_000))
    assert capsys.readouterr().err.splitlines() == [
        "verifying",
        "verifying 1.5/3.0 MB",
        "verifying 2.0/3.0 MB, 0:00:41 left",
        "copying 1.1/2.2 GB",
    ]


def test_lists_of_numbers_take_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "ids": [1, -2, 3],
        "values": [1e-07, 2.5, None],
        "texts": ["[\n  1,\n  2\n]", "b"],
        "empty": [],
        "deep": [[1], [2]],
    }
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert '  "ids": [1, -2, 3],\n  "values": [1e-07, 2.5, null],\n  "texts": [\n' in printed


def test_a_table_breaks_no_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    row = (
        "vision_encoder.layers.12",
        "ok",
        "max_abs 0.0001, cosine 0.99999, snr_db 41.2",
        "snr_db 30",
        "three-things.png: How many?",
    )
    print_table("layers", ("stage", "", "measured", "limit", "worst"), [row])
    words = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).split()
    assert {"vision_encoder.layers.12", "three-things.png:", "0.99999,", "measured"} <= set(words)


def test_a_long_path_narrows_no_other_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ("", ""), [("not quantized: projector", "Linear bias (small)"), ("zip", "/a" * 200)])
    assert "not quantized: projector  Linear bias (small)" in capsys.readouterr().out
