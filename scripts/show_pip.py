"""Show pip's progress: reads pip's standard output and prints one line per step, on a terminal with the elapsed time."""

from __future__ import annotations

import re
import sys
import threading
import time

_STEPS = (
    (re.compile(r"Collecting ([^\s(<>=!~;\[]+)"), "resolving {}"),
    (re.compile(r"\s+Downloading (\S+?)-\d\S* \((.+)\)"), "downloading {} ({})"),
    (re.compile(r"Installing collected packages: (.+)"), "unpacking {} packages"),
    (re.compile(r"Successfully installed"), "done"),
)


def step(line: str) -> str | None:
    """A short description of the step that ``line`` of pip starts; None if it starts no step."""
    for pattern, words in _STEPS:
        if found := pattern.match(line):
            groups = found.groups()
            return words.format(len(groups[0].split(", "))) if "unpacking" in words else words.format(*groups)
    return None


def main() -> None:
    """Read pip's output to its end."""
    begin, now = time.monotonic(), "starting"
    over = threading.Event()

    def tick() -> None:
        while not over.wait(1):
            seconds = int(time.monotonic() - begin)
            print(f"\r\x1b[K  {seconds // 60}:{seconds % 60:02}  {now}"[:100], end="", file=sys.stderr, flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    if on_terminal := sys.stderr.isatty():
        ticker.start()
    for line in sys.stdin:
        if said := step(line):
            now = said
            # A log only shows steps that take time.
            if not on_terminal and ("MB" in said or "unpacking" in said):
                print(f"  {said}", file=sys.stderr, flush=True)
    over.set()
    if on_terminal:
        ticker.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
