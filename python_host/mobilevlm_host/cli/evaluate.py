"""``mvlm evaluate``: a benchmark on a bundle or a checkpoint."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_host.cli.benchmark_options import benchmark_options, finish, require_submission_place
from mobilevlm_host.cli.options import THREADS, backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, say

if TYPE_CHECKING:
    pass


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
@benchmark_options
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="The file to save answers to and resume from. [default: NAME-HASH.BENCHMARK.jsonl]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Only the questions about the first N images, in the file's order."
)
@click.option("--against", help="Compare with another bundle or checkpoint, or its predictions (.jsonl).")
@click.option("--ray", "ray_address", metavar="ADDRESS", help="Use a Ray cluster: its address, auto, or local.")
@click.option("--threads", type=THREADS, help="CPU threads. [default: the engine's choice; with --ray, 1 per worker]")
@click.option(
    "--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without a tower."
)
@backend_option
@no_weight_cache_option
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
    """Ask BUNDLE_OR_CHECKPOINT every question of a benchmark and score the answers like its official scorer.

    Answers are saved as they are given: a stopped run resumes when it is started again. A checkpoint answers in fp32.
    """
    from mobilevlm_host.evaluate.benchmark import first_pictures
    from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
    from mobilevlm_host.evaluate.predictions import read_evaluation
    from mobilevlm_host.evaluate.run_benchmark import AnswerFunction, answer_here, cut_short, default_predictions, run
    from mobilevlm_host.evaluate.system import Source, open_system

    if submission and limit:
        raise click.UsageError("--submission is for all questions: omit --limit")
    require_submission_place(name, submission)
    engine: AnswerFunction = answer_here
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
    # Problems with either system are reported before the first question is asked.
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
    finish(benchmark, found, [*others, *asked], submission, as_json)
