"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobilevlm_export.whole_file import whole_file


def test_a_file_is_replaced_at_the_end_and_kept_if_that_is_never_reached(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as beside:
        beside.write_text("old")
        assert not path.exists()
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _interrupted(path: Path) -> None:
    with whole_file(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
