"""``mvlm card``: print the model card of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_host.cli.card_options import card_options
from mobilevlm_host.terminal.command import examples
from mobilevlm_host.terminal.output import drawn_progress

if TYPE_CHECKING:
    from mobilevlm_host.publish.results import Results


@click.command(
    epilog=examples(
        "mvlm card demo.mvlm --license apache-2.0",
        "mvlm card 1.7b.mvlm --license apache-2.0 --base-model mtgv/MobileVLM_V2-1.7B --parity parity.json > README.md",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@card_options
def card(bundle: Path, license_id: str, base_model: str | None, results: Results) -> None:
    """Print the model card of BUNDLE in the hub's format: recipe, sizes, memory, what was measured and what not, how to run it."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.publish.model_card import CardFacts, make_card

    facts = CardFacts(license_id, base_model=base_model)
    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        text = make_card(opened.manifest, facts, results)
    click.echo(text, nl=False)
