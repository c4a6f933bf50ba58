"""The options of commands that can run a bundle by Android's engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.arm64 import DEFAULT_CPU


def android_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--android`` and ``--engine``, handed to ``command`` as ``android``: the host, or None. Goes above ``arm64_options``."""

    @click.option(
        "--android", is_flag=True, help="Run BUNDLE by Android's own engine and the app's code, in a JVM here."
    )
    @click.option(
        "--engine",
        type=click.Path(path_type=Path),
        metavar="AAR",
        help="Another engine for --android, such as executorch-android-1.5.1.aar. [default: the one that make apk packs]",
    )
    @functools.wraps(command)
    def wrapped(android: bool, engine: Path | None, arm64_cpu: str | None, **given: Any) -> None:
        if engine and not android:
            raise click.UsageError("--engine names the engine that --android runs: give both")
        if android and arm64_cpu not in (None, DEFAULT_CPU):
            raise click.UsageError(f"--android emulates a {DEFAULT_CPU}: leave --cpu out")
        host = AndroidHost(arm64=arm64_cpu is not None, engine=engine) if android else None
        command(android=host, arm64_cpu=None if android else arm64_cpu, **given)

    return wrapped
