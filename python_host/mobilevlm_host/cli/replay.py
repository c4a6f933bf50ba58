"""``mvlm replay``: recompute a capture."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mobilevlm_export.job import BACKENDS
from mobilevlm_host.cli.options import no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_facts, print_json, print_table


@click.command(
    epilog=examples(
        'mvlm ask demo.mvlm scene.png "How many squares are there?" --capture wrong.zip',
        "mvlm replay wrong.zip demo.mvlm",
        "mvlm replay wrong.zip demo.mvlm --checkpoint demo --json",
        "mvlm replay iphone.zip both-phones.mvlm --backend coreml",
    )
)
@click.argument("capture", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="The artifact of BUNDLE to use. [default: the one named in CAPTURE, else executorch if present, else coreml]",
)
@click.option("--checkpoint", help="Also show the answer of this checkpoint's fp32 model.")
@click.option("--force", is_flag=True, help="Replay even if CAPTURE was made with another bundle.")
@no_weight_cache_option
@json_option
def replay(
    capture: Path, bundle: Path, backend: str | None, checkpoint: str | None, force: bool, as_json: bool
) -> None:
    """Recompute CAPTURE, from a phone or another machine, with BUNDLE; exits with 1 and names the stage that differs."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_host.engines.choose import computed_by
    from mobilevlm_host.records.capture import read_capture
    from mobilevlm_host.records.replay import replay_capture

    captured = read_capture(capture)
    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        folder = resolve_checkpoint(checkpoint, progress) if checkpoint else None
        found = replay_capture(captured, opened, backend=backend, checkpoint=folder, force=force, progress=progress)
    shows = computed_by(found.backend).shows
    if shows and not as_json:
        click.echo(shows, err=True)
    if as_json:
        print_json({"capture": str(capture), "bundle": str(bundle), "answer": captured.record.answer} | found.to_json())
    else:
        marks = {True: "same", False: "DIFFERS", None: "unknown"}
        rows = [(each.stage, marks[each.same], each.detail) for each in found.findings]
        print_table(str(capture), ("stage", "", "this machine"), rows)
        answers = {"captured answer": captured.record.answer}
        answers |= {} if found.fp32_answer is None else {"fp32 answers": found.fp32_answer}
        print_facts(f"differs: {found.differs}", answers)
    if found.differs != "none":
        sys.exit(1)
