"""A command terminated by the system leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobilevlm_host.terminal.termination import unwound_at_termination


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_command_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        f"import signal, sys; signal.signal({int(number)}, signal.SIG_DFL)\n"  # as nohup does for its child processes
        "from mobilevlm_export.checkpoint import synth; from mobilevlm_host.cli.mvlm import main\n"
        "def forever(*_):\n    print('begun', flush=True)\n    while True: pass\n"
        "synth._write_shards = forever\n"
        "main(['synth', '1.7b', '-o', sys.argv[1]])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            assert list(tmp_path.iterdir())
            process.send_signal(number)
            time.sleep(0.05)
            process.send_signal(number)  # changes nothing
            assert process.wait(timeout=30) == 128 + number
        finally:
            process.kill()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def default_sigterm() -> Iterator[None]:
    """SIGTERM as a command finds it: libraries that other tests use, such as Ray, leave handlers of their own."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("default_sigterm")
def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unwound_at_termination():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
