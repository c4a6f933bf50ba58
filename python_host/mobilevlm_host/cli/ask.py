"""``mvlm ask``: one answer, or a conversation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mobilevlm_host.cli.options import THREADS, backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json


@click.command(
    epilog=examples(
        'mvlm ask demo.mvlm scene.png "How many squares are there?"',
        "mvlm ask demo.mvlm scene.png",
        'mvlm ask demo.mvlm - "What color is the circle?" --json < scene.png',
        'mvlm ask owner/mobilevlm-1.7b-int4 scene.png "What is this?"',
        'mvlm ask both-phones.mvlm scene.png "What is this?" --backend coreml',
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("image")
@click.argument("question", required=False)
@backend_option
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--threads", type=THREADS, help="CPU threads. [default: the engine's choice]")
@click.option(
    "--capture", type=click.Path(path_type=Path), help="Save each stage's results to this zip, for mvlm replay."
)
@no_weight_cache_option
@json_option
def ask(
    bundle: Path,
    image: str,
    question: str | None,
    backend: str | None,
    max_new_tokens: int,
    temperature: float,
    threads: int | None,
    capture: Path | None,
    as_json: bool,
) -> None:
    """Ask BUNDLE a QUESTION about IMAGE (a file, or - for standard input).

    BUNDLE is a folder, a zip, or a repository on the Hugging Face hub, such as owner/name.

    Without a QUESTION this starts a conversation: one question per line; an empty line or Ctrl-D ends it.
    """
    from mobilevlm_export.pixels import open_image
    from mobilevlm_export.prompt import Turn
    from mobilevlm_host.ask.chat import AskOptions, begun, chat, stream_answer

    if question is not None:
        Turn(question)  # rejects an invalid question before anything is loaded
    if question is None and as_json:
        raise click.UsageError("--json is for a single question: give it after the image")
    if question is None and image == "-":
        raise click.UsageError("a conversation reads its questions from standard input: give the image as a file")
    if capture and (question is None or temperature):
        raise click.UsageError("--capture saves one greedy answer: give a question, and no temperature")
    if capture:
        from mobilevlm_host.records.capture import require_capture_place

        require_capture_place(capture)
    options = AskOptions(bundle, backend, max_new_tokens, temperature, threads)
    picture = open_image(sys.stdin.buffer if image == "-" else image)
    with drawn_progress() as progress:
        runner = options.open_runner(progress)
    with runner:
        if runner.computed_by.shows and not as_json:
            click.echo(runner.computed_by.shows, err=True)
        with drawn_progress() as progress:
            progress("reading the image", 0, 0)
            if question is None:
                runner.prepare(picture)
            else:
                ask = runner.ask(picture, question, max_new_tokens=max_new_tokens, temperature=temperature)
                pieces = iter(list(ask)) if as_json else begun(ask)
        if question is None:
            chat(runner, options)
        elif as_json:
            print_json(options.to_json(runner))
        else:
            stream_answer(pieces)
        if capture and question is not None:
            from mobilevlm_host.records.capture import make_capture, write_capture

            write_capture(make_capture(runner, picture, question, max_new_tokens), capture)
