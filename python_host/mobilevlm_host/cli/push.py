"""``mvlm push``: copy a bundle to a phone."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_host.terminal.command import examples
from mobilevlm_host.terminal.output import drawn_progress


@click.command(epilog=examples("mvlm push demo.mvlm", "mvlm push demo.mvlm --serial emulator-5554"))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", help="The phone to use, if several are connected (see adb devices).")
def push(bundle: Path, serial: str | None) -> None:
    """Copy BUNDLE to the app on a phone connected by USB."""
    from mobilevlm_export.bundle.push import push_bundle

    with drawn_progress() as progress:
        pushed = push_bundle(bundle, serial, progress)
    if pushed.is_imported:
        click.echo(f"Copied {bundle} to the app, which imports it now")
    else:
        click.echo(f"Copied {bundle} to {pushed.file} on the phone: choose it in the app's file picker")
