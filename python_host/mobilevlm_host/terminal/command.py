"""What every command has: examples in its help, ``--json``, and errors of one line."""

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
    """The end of a command's help: commands that work as printed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def hide_library_warnings() -> None:
    """Keep from the terminal what libraries log of themselves when they are imported: a user can do nothing about it."""
    # torchao: a deprecation of its own.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    # coremltools: what it can't do on this system or hasn't tried with this torch.
    logging.getLogger("coremltools").setLevel(logging.ERROR)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the kit's errors and the system's into click's: one line and exit code 1, never a traceback. A command that is ended by
    SIGTERM or SIGHUP cleans up first.
    """
    try:
        with unwound_at_termination():
            yield
    except MobileVLMError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise  # click ends quietly when the reader of a pipe has gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error


class OneLineErrors(click.Group):
    """A group whose commands end a user's mistake as :func:`one_line_errors` does."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Begin with streams that can be read and printed to."""
        prepare_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_line_errors():
            return super().invoke(ctx)
