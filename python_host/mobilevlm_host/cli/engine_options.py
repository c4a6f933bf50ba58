"""The options of commands that can run a bundle on an emulated ARM CPU, or with Android's engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.engines.emulated_cpu import DEFAULT_CPU


def arm64_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--arm64`` and ``--cpu``, passed to ``command`` as ``arm64_cpu``: the CPU to emulate, or None."""

    @click.option("--arm64", is_flag=True, help="Run BUNDLE on an emulated ARM CPU, with the kernels of phones.")
    @click.option("--cpu", metavar="CPU", help=f"QEMU's name of the CPU to emulate. [default: {DEFAULT_CPU}]")
    @functools.wraps(command)
    def wrapped(arm64: bool, cpu: str | None, **given: Any) -> None:
        if cpu and not arm64:
            raise click.UsageError("--cpu selects the CPU that --arm64 emulates: give both")
        command(arm64_cpu=(cpu or DEFAULT_CPU) if arm64 else None, **given)

    return wrapped


def android_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--android`` and ``--engine``, passed to ``command`` as ``android``: the host, or None. Put it above ``arm64_options``."""

    @click.option(
        "--android", is_flag=True, help="Run BUNDLE with Android's engine and the app's code, in a JVM on this machine."
    )
    @click.option(
        "--engine",
        type=click.Path(path_type=Path),
        metavar="AAR",
        help="Another engine for --android, such as executorch-android-1.5.1.aar. [default: the one in make apk]",
    )
    @functools.wraps(command)
    def wrapped(android: bool, engine: Path | None, arm64_cpu: str | None, **given: Any) -> None:
        if engine and not android:
            raise click.UsageError("--engine selects the engine that --android runs: give both")
        if android and arm64_cpu not in (None, DEFAULT_CPU):
            raise click.UsageError(f"--android emulates a {DEFAULT_CPU}: omit --cpu")
        host = AndroidHost(arm64=arm64_cpu is not None, engine=engine) if android else None
        command(android=host, arm64_cpu=None if android else arm64_cpu, **given)

    return wrapped
