"""``mvlm completion``: shell completion."""

from __future__ import annotations

import click

from mobilevlm_host.terminal.command import examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(epilog=examples('eval "$(mvlm completion bash)"', "mvlm completion fish | source"))
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes mvlm's commands in SHELL."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"got {shell!r}, expected one of {', '.join(_SHELLS)}")
    click.echo(complete(context.find_root().command, {}, "mvlm", "_MVLM_COMPLETE").source())
