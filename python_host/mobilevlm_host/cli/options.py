"""The options that several commands share."""

from __future__ import annotations

import click

from mobilevlm_export.job import BACKENDS

THREADS = click.IntRange(min=1, max=1024)

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="The artifact of BUNDLE to use. [default: executorch if present, else coreml]",
)
