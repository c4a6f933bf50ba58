"""A damaged program is refused in one line before an engine follows what it says: that would end this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.choose import open_methods


def _root(data: bytearray) -> None:
    data[0:4] = (1 << 30).to_bytes(4, "little")


def _tables(data: bytearray) -> None:
    data[200:2000] = b"\xff" * 1800


def _identifier(data: bytearray) -> None:
    data[4:8] = b"\xff\x80TP"


def _cut(data: bytearray) -> None:
    del data[5000:]


@pytest.mark.parametrize("damage", [_root, _tables, _identifier, _cut])
def test_a_damaged_program_is_one_line(tiny_bundle: Bundle, tmp_path: Path, damage: object) -> None:
    folder = shutil.copytree(tiny_bundle.path, tmp_path / "damaged.mvlm")
    data = bytearray((folder / "model.pte").read_bytes())
    damage(data)  # type: ignore[operator]
    (folder / "model.pte").write_bytes(data)
    # Its hash matches, as far as anyone asks.
    for opens in (Runner, open_methods):
        with pytest.raises(RunnerError, match=r"model\.pte: ") as caught:
            opens(Bundle(folder, tiny_bundle.manifest))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", [0, 100_000])
def test_threads_that_no_machine_has_are_refused(tiny_bundle: Bundle, threads: int) -> None:
    with pytest.raises(RunnerError, match=rf"threads: got {threads}, expected 1 to 1024"):
        Runner(Bundle(tiny_bundle.path, tiny_bundle.manifest), threads=threads)
