"""``mvlm verify``: check every byte of a bundle against its manifest."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_export.progress import megabytes
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json


@click.command(epilog=examples("mvlm verify demo.mvlm", "mvlm verify demo.mvlm.zip --json"))
@click.argument("bundle", type=click.Path(path_type=Path))
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Check every file of BUNDLE against its manifest, and its ExecuTorch program for constants that phones free and for weights that
    they take for one another.
    """
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.lower.ambiguous_weights import require_distinct_weights
    from mobilevlm_export.lower.unpacked_constants import require_no_unpacked_constants

    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        files = opened.manifest.files
        if "executorch" in opened.manifest.values["artifacts"]:
            require_no_unpacked_constants(opened.artifact("executorch"))
            require_distinct_weights(opened.artifact("executorch"))
    total = sum(file.bytes for file in files)
    if as_json:
        print_json({"bundle": str(bundle), "verified": True, "files": len(files), "bytes": total})
    else:
        click.echo(f"{bundle}: {len(files)} files, {megabytes(total)}, all match the manifest")
