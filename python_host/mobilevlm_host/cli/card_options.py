"""The options of commands that write a model card."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mobilevlm_host.publish.results import Results, read_results


def card_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--license``, ``--base-model``, ``--parity`` and ``--evaluation``; the last two are passed to ``command`` as ``results``."""

    @click.option(
        "--license",
        "license_id",
        required=True,
        help="The license of the checkpoint's weights, as the hub spells it, such as apache-2.0.",
    )
    @click.option("--base-model", metavar="OWNER/NAME", help="The checkpoint's id on the hub.")
    @click.option(
        "--parity",
        type=click.Path(path_type=Path),
        help="The output of mvlm parity --json for BUNDLE, to show in the card.",
    )
    @click.option(
        "--evaluation",
        "evaluations",
        multiple=True,
        type=click.Path(path_type=Path),
        help="The output of mvlm evaluate --json for BUNDLE; may be repeated.",
    )
    @functools.wraps(command)
    def wrapped(parity: Path | None, evaluations: tuple[Path, ...], **given: Any) -> None:
        results: Results = read_results(parity, evaluations)
        command(results=results, **given)

    return wrapped
