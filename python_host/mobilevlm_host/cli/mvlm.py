"""The command ``mvlm`` and its subcommands."""

from __future__ import annotations

import click

from mobilevlm_export import __version__
from mobilevlm_host.cli.ask import ask
from mobilevlm_host.cli.bench import bench
from mobilevlm_host.cli.cache import cache
from mobilevlm_host.cli.card import card
from mobilevlm_host.cli.completion import completion
from mobilevlm_host.cli.demo import demo
from mobilevlm_host.cli.evaluate import evaluate
from mobilevlm_host.cli.export import export
from mobilevlm_host.cli.golden import golden
from mobilevlm_host.cli.inspect import inspect
from mobilevlm_host.cli.parity import parity
from mobilevlm_host.cli.publish import publish
from mobilevlm_host.cli.push import push
from mobilevlm_host.cli.replay import replay
from mobilevlm_host.cli.score import score
from mobilevlm_host.cli.sensitivity import sensitivity
from mobilevlm_host.cli.serve import serve
from mobilevlm_host.cli.synth import synth
from mobilevlm_host.cli.train import train_group
from mobilevlm_host.cli.verify import verify
from mobilevlm_host.terminal.command import OneLineErrors, examples, hide_library_warnings


@click.group(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("mvlm demo", 'mvlm ask demo.mvlm photo.jpg "What is this?"', "mvlm export --help"),
)
@click.version_option(__version__, prog_name="mvlm")
def main() -> None:
    """Take a MobileVLM V2 checkpoint to phones, and verify that it gives the same answers there."""
    hide_library_warnings()


for command in (
    demo,
    export,
    inspect,
    ask,
    serve,
    parity,
    sensitivity,
    golden,
    evaluate,
    score,
    replay,
    bench,
    cache,
    verify,
    push,
    card,
    publish,
    synth,
    train_group,
    completion,
):
    main.add_command(command)
