"""``mvlm cache``: the packed weights that are kept on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilevlm_export.errors import OutputError
from mobilevlm_export.progress import megabytes
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import print_json, print_table

if TYPE_CHECKING:
    from mobilevlm_host.engines.packed_files import PackedFile


@click.command(
    epilog=examples(
        "mvlm cache",
        "mvlm cache --remove mobilevlm-1.7b.mvlm",
        "mvlm cache --remove-all --json",
        "MVLM_WEIGHT_CACHE=/mnt/fast/weights mvlm cache",
    )
)
@click.option(
    "--remove", metavar="BUNDLE_OR_NAME", multiple=True, help="Remove the weights of this bundle; may be repeated."
)
@click.option("--remove-all", is_flag=True, help="Remove all.")
@json_option
def cache(remove: tuple[str, ...], remove_all: bool, as_json: bool) -> None:
    """List the packed weights that loading a bundle has left on this machine, so that the next load is fast, or remove them.

    They are in ~/.cache/mobilevlm-kit/packed-weights, or in the folder that MVLM_WEIGHT_CACHE names (off: none). The least recently
    used ones are removed beyond 16 GiB, those of bundles that no longer exist with the next that are written.
    """
    from mobilevlm_host.engines.packed_files import MOST_BYTES, packed_files, weights_folder

    folder = weights_folder()
    files = packed_files(folder) if folder else []
    removed = files if remove_all else _chosen(files, remove, folder)
    freed = sum(file.bytes() for file in removed)
    for file in removed:
        file.remove()
    rest = [file for file in files if file not in removed]
    total = sum(file.bytes() for file in rest)
    if as_json:
        print_json(
            {
                "folder": str(folder) if folder else None,
                "bytes": total,
                "most_bytes": MOST_BYTES,
                "files": [_facts(file) for file in rest],
                "removed": [file.name for file in removed],
                "freed_bytes": freed,
            }
        )
        return
    if removed:
        click.echo(f"removed {len(removed)}, {megabytes(freed)}")
    if rest:
        rows = [_row(_facts(file)) for file in rest]
        print_table(f"{folder}: {megabytes(total)}", ("name", "size", "last used", "bundle"), rows)
    elif not removed:
        click.echo(f"{folder or 'weights are not kept'}: nothing")


def _chosen(files: list[PackedFile], names: tuple[str, ...], folder: Path | None) -> list[PackedFile]:
    chosen = []
    for name in names:
        bundle = str(Path(name).absolute())
        found = [file for file in files if file.name == name or _bundle_of(file) == bundle]
        if not found:
            raise OutputError(
                f"{name}: no packed weights in {folder or 'no folder'}, expected a name or bundle that mvlm cache lists"
            )
        chosen += [file for file in found if file not in chosen]
    return chosen


def _bundle_of(file: PackedFile) -> str | None:
    record = file.record()
    return record.bundle if record else None


def _facts(file: PackedFile) -> dict[str, Any]:
    from mobilevlm_host.engines.packed_files import is_outdated

    record = file.record()
    return {
        "name": file.name,
        "bundle": record.bundle if record else None,
        "bytes": file.bytes(),
        "last_used": round(file.used_at()),
        "outdated": is_outdated(record),
        "failed": record.failed if record else "",
    }


def _row(facts: dict[str, Any]) -> tuple[str, ...]:
    import datetime

    used = datetime.datetime.fromtimestamp(facts["last_used"]).strftime("%Y-%m-%d %H:%M")
    notes = [facts["bundle"] or "unknown"]
    notes += ["(no longer exists)"] if facts["outdated"] else []
    notes += [f"(could not be written: {facts['failed']})"] if facts["failed"] else []
    return facts["name"], megabytes(facts["bytes"]), used, " ".join(notes)
