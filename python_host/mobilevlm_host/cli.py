"""``mvlm``: the commands that make bundles, and those that ask them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_export import __version__, cli
from mobilevlm_export.cli import OneLineErrors, examples, json_option
from mobilevlm_export.progress import Progress
from mobilevlm_export.terminal import (
    drawn_progress,
    print_facts,
    print_json,
    print_table,
    say,
)
from mobilevlm_export.train.cli import train_group
from mobilevlm_host.android.cli import android_options
from mobilevlm_host.arm64.cli import arm64_options
from mobilevlm_host.bench.cli import bench
from mobilevlm_host.evaluate.cli import evaluate, score
from mobilevlm_host.sensitivity.cli import sensitivity

if TYPE_CHECKING:
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.android.host import AndroidHost

_SHELLS = ("bash", "zsh", "fish")


@click.group(
    cls=OneLineErrors,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("mvlm demo", 'mvlm ask demo.mvlm photo.jpg "What is this?"', "mvlm export --help"),
)
@click.version_option(__version__, prog_name="mvlm")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Take a MobileVLM V2 checkpoint to phones, and prove that it answers there as it does here."""
    cli.hide_library_warnings()
    ctx.obj = _add_golden


def _add_golden(bundle: Bundle, progress: Progress) -> None:
    """What ``mvlm export`` finishes a bundle with."""
    from mobilevlm_host.golden import add_golden

    add_golden(bundle, progress)


@main.command(
    epilog=examples(
        'mvlm ask demo.mvlm scene.png "How many squares are there?"',
        "mvlm ask demo.mvlm scene.png",
        'mvlm ask demo.mvlm - "What color is the circle?" --json < scene.png',
        'mvlm ask both-phones.mvlm scene.png "What is this?" --backend coreml',
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("image")
@click.argument("question", required=False)
@cli.backend_option
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="0 is greedy.")
@click.option("--threads", type=cli.THREADS, help="CPU threads. [default: the engine's choice]")
@click.option(
    "--capture", type=click.Path(path_type=Path), help="Keep what each stage gave in this zip, for mvlm replay."
)
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

    Without a QUESTION it is a conversation: one question a line, an empty line or Ctrl-D ends it.
    """
    from mobilevlm_export.pixels import open_image
    from mobilevlm_export.prompt import Turn
    from mobilevlm_host.chat import Asked, begun, chat, stream_answer

    if question is not None:
        Turn(question)  # refuses what can't be asked before anything is loaded
    if question is None and as_json:
        raise click.UsageError("--json answers one question: give one after the image")
    if question is None and image == "-":
        raise click.UsageError("a conversation reads its questions from standard input: give the image as a file")
    if capture and (question is None or temperature):
        raise click.UsageError("--capture keeps one greedy answer: give a question, and no temperature")
    if capture:
        from mobilevlm_host.capture import require_capture_place

        require_capture_place(capture)
    asked = Asked(bundle, backend, max_new_tokens, temperature, threads)
    picture = open_image(sys.stdin.buffer if image == "-" else image)
    with drawn_progress() as progress:
        runner = asked.open_runner(progress)
    with runner:
        if runner.computed_by.shows and not as_json:
            click.echo(runner.computed_by.shows, err=True)
        with drawn_progress() as progress:
            progress("reading the picture", 0, 0)
            if question is None:
                runner.prepare(picture)
            else:
                ask = runner.ask(picture, question, max_new_tokens=max_new_tokens, temperature=temperature)
                pieces = iter(list(ask)) if as_json else begun(ask)
        if question is None:
            chat(runner, asked)
        elif as_json:
            print_json(asked.to_json(runner))
        else:
            stream_answer(pieces)
        if capture and question is not None:
            from mobilevlm_host.capture import make_capture, write_capture

            write_capture(make_capture(runner, picture, question, max_new_tokens), capture)


@main.command(epilog=examples("mvlm demo", "mvlm demo --questions 500", "mvlm demo --recipe int8 --json"))
@click.option("-o", "--output", default="demo.mvlm", show_default=True, type=click.Path(path_type=Path))
@click.option("--recipe", "recipe_name", type=click.Choice(cli.RECIPE_NAMES), default="int4", show_default=True)
@click.option(
    "--questions",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Held-out questions that the bundle and the fp32 model both answer.",
)
@json_option
def demo(output: Path, recipe_name: str, questions: int, as_json: bool) -> None:
    """Export the built-in demo model, ask it about sample pictures, and compare it with fp32."""
    from mobilevlm_host.demo import run_demo

    with drawn_progress() as progress:
        report = run_demo(output, recipe_name, questions, progress, say=None if as_json else say)
    if as_json:
        print_json(report.to_json())
    else:
        report.print()


@main.command(
    epilog=examples(
        "mvlm parity demo demo.mvlm",
        "mvlm parity demo demo.mvlm --report parity.html",
        "mvlm parity demo demo.mvlm --layers",
        "mvlm parity demo both-phones.mvlm --backend coreml",
        "mvlm parity demo demo.mvlm --arm64 --cpu neoverse-n1",
        "mvlm parity ./MobileVLM_V2-1.7B mobilevlm-1.7b.mvlm --images photos --json",
    )
)
@click.argument("checkpoint")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder of pictures. [default: the demo's scenes and a dozen more]",
)
@click.option("--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without one.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="Write one HTML file that shows it all; an older report there is replaced, no other file.",
)
@cli.backend_option
@click.option("--layers", is_flag=True, help="Measure each layer of the ExecuTorch program too.")
@click.option("--force", is_flag=True, help="Compare even if BUNDLE was made from another checkpoint.")
@arm64_options
@json_option
def parity(
    checkpoint: str,
    bundle: Path,
    images: Path | None,
    vision_tower: Path | None,
    report_file: Path | None,
    backend: str | None,
    layers: bool,
    force: bool,
    arm64_cpu: str | None,
    as_json: bool,
) -> None:
    """Compare BUNDLE with the fp32 model of CHECKPOINT, stage by stage; exit code 1 names the first that diverges."""
    if arm64_cpu and backend == "coreml":
        raise click.UsageError("--arm64 runs ExecuTorch's program: leave out --backend coreml")
    if arm64_cpu and layers:
        raise click.UsageError("--layers opens the program on this machine, not on the emulated CPU: leave out --arm64")
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_host.parity.check import check_parity, print_report
    from mobilevlm_host.parity.report import require_report_place, write_report

    if layers and backend == "coreml":
        raise click.UsageError("--layers opens the ExecuTorch program: leave --backend coreml out")
    if report_file:
        require_report_place(report_file)  # before the work, not after it
    with drawn_progress() as progress:
        opened = Bundle.open(bundle, progress=progress)
        report = check_parity(
            resolve_checkpoint(checkpoint, progress),
            opened,
            images=images,
            vision_tower=vision_tower,
            force=force,
            called=str(bundle),
            backend=backend,
            layers=layers,
            arm64_cpu=arm64_cpu,
            progress=progress,
        )
    if report_file:
        write_report(report, report_file)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, str(bundle))
    if report.first_divergence:
        sys.exit(1)


@main.command(
    epilog=examples(
        "mvlm golden demo.mvlm",
        "mvlm golden demo.mvlm --check --json",
        "mvlm golden demo.mvlm --check --arm64",
        "mvlm golden demo.mvlm --check --android",
        "mvlm golden demo.mvlm --check --android --arm64 --engine executorch-android-1.5.1.aar",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing: compare this machine with the records that BUNDLE holds.")
@arm64_options
@android_options
@json_option
def golden(bundle: Path, check: bool, android: AndroidHost | None, arm64_cpu: str | None, as_json: bool) -> None:
    """Ask BUNDLE about a few pictures and keep in it what each stage gave, for phones to check themselves against."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host import golden

    if (arm64_cpu or android) and not check:
        given = "--android" if android else "--arm64"
        raise click.UsageError(f"{given} checks another engine against the records: give --check too")
    with drawn_progress() as progress:
        if not check:
            golden.remake_golden(bundle, progress)
        with Bundle.open(bundle, progress=progress) as opened:
            replays = golden.check_golden(opened, progress, arm64_cpu=arm64_cpu, android=android) if check else {}
            records = golden.read_golden(opened)
    if as_json:
        found = {"checked": {name: replay.to_json() for name, replay in replays.items()}} if check else {}
        print_json({"bundle": str(bundle), "records": len(records), **found})
    else:
        rows = [
            (name, record.question, record.answer, *((replays[name].differs,) if check else ()))
            for name, _, record in records
        ]
        print_table(str(bundle), ("picture", "question", "answer", *(["differs here"] if check else [])), rows)
    if any(replay.differs != "none" for replay in replays.values()):
        sys.exit(1)


@main.command(
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
    type=click.Choice(cli.BACKENDS),
    help="Which of BUNDLE's artifacts. [default: the one that CAPTURE names, else executorch if it is there, else coreml]",
)
@click.option("--checkpoint", help="Say what the fp32 model of this checkpoint answers too.")
@click.option("--force", is_flag=True, help="Replay even if CAPTURE was made with another bundle.")
@json_option
def replay(
    capture: Path, bundle: Path, backend: str | None, checkpoint: str | None, force: bool, as_json: bool
) -> None:
    """Compute CAPTURE, made on a phone or another machine, again with BUNDLE; exit code 1 names the stage that differs."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_host.capture import read_capture
    from mobilevlm_host.methods import computed_by
    from mobilevlm_host.replay import replay_capture

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
        marks = {True: "same", False: "DIFFERS", None: "not known"}
        rows = [(each.stage, marks[each.same], each.detail) for each in found.findings]
        print_table(str(capture), ("stage", "", "this machine"), rows)
        answers = {"captured answer": captured.record.answer}
        answers |= {} if found.fp32_answer is None else {"fp32 answers": found.fp32_answer}
        print_facts(f"differs: {found.differs}", answers)
    if found.differs != "none":
        sys.exit(1)


@main.command(epilog=examples('eval "$(mvlm completion bash)"', "mvlm completion fish | source"))
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes mvlm's commands in SHELL."""
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"got {shell!r}, expected one of {', '.join(_SHELLS)}")
    click.echo(complete(main, {}, "mvlm", "_MVLM_COMPLETE").source())


for command in (
    cli.export,
    cli.inspect,
    cli.verify,
    cli.push,
    cli.synth,
    train_group,
    evaluate,
    score,
    sensitivity,
    bench,
):
    main.add_command(command)
