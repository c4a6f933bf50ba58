"""``mvlm publish``: put a bundle on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_host.cli.card_options import card_options
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json

if TYPE_CHECKING:
    from mobilevlm_host.publish.results import Results


@click.command(
    epilog=examples(
        "mvlm publish demo.mvlm me/mobilevlm-demo --license apache-2.0 --dry-run demo-repository",
        "mvlm publish 1.7b.mvlm me/mobilevlm-1.7b-int4 --license apache-2.0 --base-model mtgv/MobileVLM_V2-1.7B",
        "mvlm publish 1.7b.mvlm me/mobilevlm-1.7b-int4 --license apache-2.0 --parity parity.json --evaluation gqa.json",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@card_options
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option(
    "--dry-run",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Upload nothing; write what would be uploaded to this new folder.",
)
@json_option
def publish(
    bundle: Path,
    repository: str,
    license_id: str,
    base_model: str | None,
    results: Results,
    private: bool,
    dry_run: Path | None,
    as_json: bool,
) -> None:
    """Upload BUNDLE, zipped, with its manifest and a model card to the repository OWNER/NAME on the hub.

    Log in first: hf auth login. "mvlm ask OWNER/NAME" downloads it again.
    """
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.files.atomic_file import atomic_folder, new_only, require_place
    from mobilevlm_export.files.scratch import ScratchFolder
    from mobilevlm_host.publish.hub_upload import fill_repository, upload
    from mobilevlm_host.publish.model_card import CardFacts, make_card

    facts = CardFacts(license_id, repository, base_model)
    if dry_run:
        require_place(dry_run, replaceable=new_only("folder"))
    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        text = make_card(opened.manifest, facts, results)
        if dry_run:
            with atomic_folder(dry_run) as folder:
                fill_repository(opened, text, folder, progress)
            where = str(dry_run)
        else:
            with ScratchFolder() as folder:
                fill_repository(opened, text, folder, progress)
                where = upload(folder, repository, private=private, progress=progress)
    if as_json:
        print_json({"bundle": str(bundle), "repository": repository, "uploaded": dry_run is None, "at": where})
    else:
        click.echo(f"Wrote {where}; nothing was uploaded" if dry_run else f"Uploaded {bundle} to {where}")
