"""The options of commands that can run a bundle on an emulated ARM CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from mobilevlm_host.arm64 import DEFAULT_CPU


def arm64_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--arm64`` and ``--cpu``, handed to ``command`` as ``arm64_cpu``: the CPU to emulate, or None."""

    @click.option("--arm64", is_flag=True, help="Run BUNDLE on an emulated ARM CPU, by the kernels of phones.")
    @click.option("--cpu", metavar="CPU", help=f"Which one, as QEMU names it. [default: {DEFAULT_CPU}]")
    @functools.wraps(command)
    def wrapped(arm64: bool, cpu: str | None, **given: Any) -> None:
        if cpu and not arm64:
            raise click.UsageError("--cpu names the CPU that --arm64 emulates: give both")
        command(arm64_cpu=(cpu or DEFAULT_CPU) if arm64 else None, **given)

    return wrapped
