"""``mvlm golden``: store golden records in a bundle, or check this machine against them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.cli.engine_options import android_options, arm64_options
from mobilevlm_host.cli.options import backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json, print_table


@click.command(
    epilog=examples(
        "mvlm golden demo.mvlm",
        "mvlm golden demo.mvlm --check --json",
        "mvlm golden demo.mvlm --check --arm64",
        "mvlm golden demo.mvlm --check --android",
        "mvlm golden demo.mvlm --check --android --arm64 --engine executorch-android-1.5.1.aar",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; compare this machine with the records in BUNDLE.")
@backend_option
@arm64_options
@android_options
@no_weight_cache_option
@json_option
def golden(
    bundle: Path, check: bool, backend: str | None, android: AndroidHost | None, arm64_cpu: str | None, as_json: bool
) -> None:
    """Ask BUNDLE about a few images and store each stage's results in it, for phones to check themselves against."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.records import golden

    if (arm64_cpu or android) and not check:
        given = "--android" if android else "--arm64"
        raise click.UsageError(f"{given} checks another engine against the records: also give --check")
    if backend and (not check or arm64_cpu or android):
        raise click.UsageError("--backend selects the artifact to check on this machine: give it with --check alone")
    with drawn_progress() as progress:
        if not check:
            golden.remake_golden(bundle, progress)
        with Bundle.open(bundle, progress=progress) as opened:
            replays = (
                golden.check_golden(opened, progress, backend=backend, arm64_cpu=arm64_cpu, android=android)
                if check
                else {}
            )
            records = golden.read_golden(opened)
    if as_json:
        found = {"checked": {name: replay.to_json() for name, replay in replays.items()}} if check else {}
        print_json({"bundle": str(bundle), "records": len(records), **found})
    else:
        rows = [
            (name, record.question, record.answer, *((replays[name].differs,) if check else ()))
            for name, _, record in records
        ]
        print_table(str(bundle), ("image", "question", "answer", *(["differs here"] if check else [])), rows)
    if any(replay.differs != "none" for replay in replays.values()):
        sys.exit(1)
