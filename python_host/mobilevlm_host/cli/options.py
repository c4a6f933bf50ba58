"""The options that several commands share."""

from __future__ import annotations

import os

import click

from mobilevlm_export.job import BACKENDS

THREADS = click.IntRange(min=1, max=1024)

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="The artifact of BUNDLE to use. [default: executorch if present, else coreml, else coreai (experimental)]",
)


def _without_weight_cache(context: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    """Switch it off for this command and the processes that it starts."""
    if not is_given:
        return
    from mobilevlm_host.engines.packed_files import OFF, SETTING

    before = os.environ.get(SETTING)
    os.environ[SETTING] = OFF
    context.call_on_close(lambda: _restore(SETTING, before))


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


no_weight_cache_option = click.option(
    "--no-weight-cache",
    is_flag=True,
    expose_value=False,
    callback=_without_weight_cache,
    help="Pack the weights in memory: neither read nor write the files that mvlm cache lists.",
)
