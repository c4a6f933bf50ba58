"""What commands print."""

from __future__ import annotations

import time

import pytest

from mobilevlm_export.terminal import drawn_progress


def test_the_time_left_is_that_of_the_steps_after_the_first(
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
    # Loading takes the first minute; then a step takes two seconds, until all is done.
    assert capsys.readouterr().err.splitlines() == [
        "asking 20/100",
        "asking 21/100",
        "asking 26/100, 0:02:28 left",
        "asking 31/100, 0:02:18 left",
        "asking 100/100",
    ]
