"""``mvlm evaluate`` and ``mvlm score``: benchmarks on a bundle or a checkpoint, or on answers that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilevlm_export.cli import THREADS, backend_option, examples, json_option
from mobilevlm_export.terminal import drawn_progress, print_json, say
from mobilevlm_host.evaluate.benchmarks import BENCHMARKS

if TYPE_CHECKING:
    from mobilevlm_host.evaluate.benchmark import Benchmark, Evaluation

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _benchmark_options(command: _Command) -> _Command:
    """What both commands take."""
    submission = click.option(
        "--submission", type=click.Path(path_type=Path), help="Write MMBench's workbook (.xlsx) for its server."
    )
    folder = click.option(
        "--data", "folder", type=click.Path(path_type=Path), help="The benchmark's own folder; demo needs none."
    )
    name = click.option("--benchmark", "name", required=True, type=click.Choice(BENCHMARKS))
    return name(folder(submission(command)))


@click.command(
    epilog=examples(
        "mvlm evaluate demo.mvlm --benchmark demo --against demo",
        "mvlm evaluate mobilevlm-1.7b.mvlm --benchmark gqa --data benchmark_data/gqa",
        "mvlm evaluate mtgv/MobileVLM_V2-1.7B --benchmark pope --data benchmark_data/pope --limit 50 --json",
        "mvlm evaluate int4.mvlm --benchmark mme --data benchmark_data/mme --against fp32-3fa9c1d2.mme.jsonl",
        "mvlm evaluate int4.mvlm --benchmark textvqa --data benchmark_data/textvqa --ray local",
        "mvlm evaluate both-phones.mvlm --backend coreml --benchmark demo --against both-phones.mvlm",
    )
)
@click.argument("system", metavar="BUNDLE_OR_CHECKPOINT")
@_benchmark_options
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="Where answers are kept and resumed from. [default: NAME-HASH.BENCHMARK.jsonl here]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Only the questions about the first N pictures, in the file's order."
)
@click.option("--against", help="Compare with another bundle or checkpoint, or the predictions (.jsonl) of one.")
@click.option("--ray", "ray_address", metavar="ADDRESS", help="Spread over a Ray cluster: its address, auto, or local.")
@click.option("--threads", type=THREADS, help="CPU threads. [default: the engine's choice; with --ray 1 a worker]")
@click.option("--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without one.")
@backend_option
@json_option
def evaluate(
    system: str,
    name: str,
    folder: Path | None,
    submission: Path | None,
    predictions: Path | None,
    limit: int | None,
    against: str | None,
    ray_address: str | None,
    threads: int | None,
    vision_tower: Path | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Ask BUNDLE_OR_CHECKPOINT every question of a benchmark and score the answers as its official scorer does.

    Answers are kept as they come: started again, a stopped run goes on. A checkpoint answers in fp32.
    """
    from mobilevlm_host.evaluate.benchmark import first_pictures
    from mobilevlm_host.evaluate.benchmarks import load_benchmark
    from mobilevlm_host.evaluate.predictions import read_evaluation
    from mobilevlm_host.evaluate.run import Engine, answer_here, cut_short, default_predictions, run
    from mobilevlm_host.evaluate.system import Source, open_system

    if submission and limit:
        raise click.UsageError("--submission is for all questions: leave out --limit")
    _check_submission(name, submission)
    engine: Engine = answer_here
    if ray_address is not None:
        from mobilevlm_host.evaluate.cluster import answer_on

        engine = answer_on(ray_address)
    whole = load_benchmark(name, folder)
    benchmark = whole if limit is None else whole.about(first_pictures(whole.items, limit))
    kept = [Path(against)] if against and against.endswith(".jsonl") else []
    others = [read_evaluation(path, whole, benchmark) for path in kept]
    asked_for = [Source(system, vision_tower, threads, backend)]
    if against and not kept:
        asked_for.append(Source(against, vision_tower, threads))
    # What can be wrong with either system is found before the first question is asked.
    with drawn_progress() as progress, ExitStack() as stack:
        systems = [stack.enter_context(open_system(each, progress)) for each in asked_for]
        for opened in systems:
            if opened.note:
                say(f"{opened.name}: {opened.note}", err=True)
            if line := cut_short(benchmark, opened):
                say(f"{opened.name}: {line}", err=True)
        files = [predictions, None]
        found, *asked = (
            run(whole, benchmark, opened, file or default_predictions(whole, opened), engine, progress)
            for opened, file in zip(systems, files, strict=False)
        )
    _finish(benchmark, found, [*others, *asked], submission, as_json)


@click.command(
    epilog=examples(
        "mvlm score --benchmark gqa --data benchmark_data/gqa --predictions gqa.jsonl",
        "mvlm score --benchmark pope --data benchmark_data/pope --predictions llava_pope_test/predictions.jsonl --json",
        "mvlm score --benchmark mmbench --data benchmark_data/mmbench --predictions mmbench.jsonl --submission up.xlsx",
        "mvlm score --benchmark demo --predictions phone.jsonl --against demo-3fa9c1d2.demo.jsonl",
    )
)
@_benchmark_options
@click.option(
    "--predictions",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON Lines: id and answer (mvlm evaluate), or question_id, prompt and text (the authors' scripts).",
)
@click.option("--against", type=click.Path(path_type=Path), help="Compare with the predictions of another system.")
@json_option
def score(
    name: str, folder: Path | None, submission: Path | None, predictions: Path, against: Path | None, as_json: bool
) -> None:
    """Score answers made elsewhere as the benchmark's official scorer does.

    Every question needs exactly one answer; of an unfinished run of mvlm evaluate, or one with --limit, the pictures are scored
    that have all their answers. Pictures aren't opened.
    """
    from mobilevlm_host.evaluate.benchmarks import load_benchmark
    from mobilevlm_host.evaluate.predictions import answered_part, read_evaluation

    _check_submission(name, submission)
    whole = load_benchmark(name, folder)
    paths = [path for path in (predictions, against) if path]
    benchmark = answered_part(whole, paths)
    if benchmark is not whole:
        if submission:
            raise click.UsageError("--submission is for all questions: finish that run first")
        pictures = len({item.picture for item in benchmark.items})
        say(
            f"Scored are {len(benchmark.items)} of {len(whole.items)} questions: of {pictures} pictures all are answered",
            err=True,
        )
    found, *others = (read_evaluation(path, whole, benchmark) for path in paths)
    _finish(benchmark, found, others, submission, as_json)


def _check_submission(name: str, submission: Path | None) -> None:
    if submission is None:
        return
    if name != "mmbench":
        raise click.UsageError("--submission is MMBench's: give --benchmark mmbench")
    from mobilevlm_host.evaluate.submission import check_submission

    check_submission(submission)


def _finish(
    benchmark: Benchmark, found: Evaluation, others: Sequence[Evaluation], submission: Path | None, as_json: bool
) -> None:
    """Compare, write the submission and print."""
    from mobilevlm_host.evaluate import report
    from mobilevlm_host.evaluate.compare import compare

    if submission:
        from mobilevlm_host.evaluate.mmbench import MMBench
        from mobilevlm_host.evaluate.submission import write_submission

        assert isinstance(benchmark, MMBench)
        write_submission(benchmark, found.answers, submission)
    comparisons = [(other, compare(benchmark.items, found, other)) for other in others]
    if as_json:
        print_json(report.to_json(found, comparisons))
    else:
        report.print_evaluation(found, comparisons)
