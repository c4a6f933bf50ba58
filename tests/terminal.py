"""Run commands in a pseudo-terminal and read its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyte

_PATIENCE_S = 300
COLUMNS, LINES = 120, 400  # so high that nothing scrolls away
_EVERY_BAR = "from mobilevlm_host.terminal import progress_bar as bar; bar._SHORT_S, bar._REDRAWN_S = 0, 0.002"


class Terminal:
    """``mvlm`` with arguments, running on its own terminal."""

    def __init__(
        self, arguments: Sequence[object], cwd: Path | None = None, *, before: str = "", **environment: str
    ) -> None:
        """``before`` is Python code that runs first. Bars are drawn even for short stages."""
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        code = f"{_EVERY_BAR}\n{before}\nfrom mobilevlm_host.cli.mvlm import main; main(prog_name='mvlm')"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**_environment(), "TERM": "xterm", "PYTHONUTF8": "1", **environment},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: str) -> None:
        """Type ``text`` on the keyboard."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read until ``text`` is on the screen this many times."""
        reading = self._read()
        while "\n".join(self.screen.display).count(text) < times:
            try:
                next(reading)
            except StopIteration:
                raise AssertionError(f"{text!r} never came, but: {self.lines()}") from None

    def finish(self) -> list[str]:
        """Read to the end; return the lines on the screen, without empty ones."""
        for _ in self._read():
            pass
        self.process.wait()
        os.close(self._ours)
        return self.lines()

    def lines(self) -> list[str]:
        """The current screen."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def _read(self) -> Iterator[None]:
        while True:
            if not select.select([self._ours], [], [], _PATIENCE_S)[0]:
                raise AssertionError(f"nothing came for {_PATIENCE_S} s after: {self.lines()}")
            try:
                read = os.read(self._ours, 65536)
            except OSError:  # the other side is closed
                return
            if not read:
                return
            self.raw += read
            self._stream.feed(read)
            yield


def screen(arguments: Sequence[object], cwd: Path | None = None, **more: str) -> list[str]:
    """The screen after ``mvlm`` has exited with these arguments."""
    return Terminal(arguments, cwd, **more).finish()


def _environment() -> dict[str, str]:
    """This process's, but for the size of a terminal: pytest-xdist sets that of its own."""
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
