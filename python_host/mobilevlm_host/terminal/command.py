"""Common to all commands: examples in the help, ``--json``, and one-line errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from mobilevlm_export.errors import MobileVLMError
from mobilevlm_host.terminal.streams import prepare_streams
from mobilevlm_host.terminal.termination import unwound_at_termination

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for scripts.")


def examples(*lines: str) -> str:
    """An epilog for a command's help: example commands that work as printed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def hide_library_warnings() -> None:
    """Hide what libraries log about themselves on import, because users can't do anything about it."""
    # torchao: its own deprecation.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    # coremltools: what it can't do on this system or hasn't been tested with.
    logging.getLogger("coremltools").setLevel(logging.ERROR)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the kit's and the system's errors into click's: one line and exit code 1, never a traceback. A command terminated by
    SIGTERM or SIGHUP cleans up first. Notes on an interruption say what is kept.
    """
    try:
        with unwound_at_termination():
            yield
    except (KeyboardInterrupt, SystemExit) as stop:
        for note in getattr(stop, "__notes__", ()):
            click.echo(f"\n{note}", err=True)
        raise
    except MobileVLMError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise  # click exits quietly when the reader of a pipe has closed it
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error


class OneLineErrors(click.Group):
    """A group whose commands report errors as :func:`one_line_errors` does."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare the standard streams, then run the group."""
        prepare_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_line_errors():
            return super().invoke(ctx)
