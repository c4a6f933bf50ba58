"""The options that several commands share."""

from __future__ import annotations

import click

from mobilevlm_export.job import BACKENDS

THREADS = click.IntRange(min=1, max=1024)

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="Which of BUNDLE's artifacts. [default: executorch if it is there, else coreml]",
)
