"""Prepare the command's standard streams: open, and able to print any text."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Make standard input, output and error usable no matter how the command was started.

    A closed stream becomes the null device, also for libraries that write to its descriptor. Text that the terminal's encoding
    doesn't support, or a file name that isn't UTF-8, is printed escaped; input that isn't UTF-8 is read with surrogate escapes.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  until the end
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if descriptor == 0 else "backslashreplace")
