"""Damaged files of every kind are read or rejected in one line; ``make fuzz`` does the same for longer."""

from __future__ import annotations

import pytest
from fuzz.campaign import run
from fuzz.programs import damaged_programs
from fuzz.targets import TARGETS, Target

from mobilevlm_export.bundle.read import Bundle

_FILES = 120


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_refused_in_one_line(target: Target) -> None:
    counts = run(target, seed=20, more=lambda count: count < _FILES)
    assert counts.faults == []
    assert counts.files == _FILES
    assert counts.refused > _FILES // 10


def test_damaged_programs_crash_no_process(tiny_bundle: Bundle) -> None:
    counts = damaged_programs(tiny_bundle.path, seed=20, most=60, seconds=120)
    assert counts.faults == []
    assert counts.refused > 20
