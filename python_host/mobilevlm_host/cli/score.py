"""``mvlm score``: score answers from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilevlm_host.cli.benchmark_options import benchmark_options, finish, require_submission_place
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import say

if TYPE_CHECKING:
    pass


@click.command(
    epilog=examples(
        "mvlm score --benchmark gqa --data benchmark_data/gqa --predictions gqa.jsonl",
        "mvlm score --benchmark pope --data benchmark_data/pope --predictions llava_pope_test/predictions.jsonl --json",
        "mvlm score --benchmark mmbench --data benchmark_data/mmbench --predictions mmbench.jsonl --submission up.xlsx",
        "mvlm score --benchmark demo --predictions phone.jsonl --against demo-3fa9c1d2.demo.jsonl",
    )
)
@benchmark_options
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
    """Score answers from elsewhere like the benchmark's official scorer.

    Every question needs exactly one answer. For an unfinished run of mvlm evaluate, or one with --limit, only images with all
    their answers are scored. Images aren't opened.
    """
    from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
    from mobilevlm_host.evaluate.predictions import answered_part, read_evaluation

    require_submission_place(name, submission)
    whole = load_benchmark(name, folder)
    paths = [path for path in (predictions, against) if path]
    benchmark = answered_part(whole, paths)
    if benchmark is not whole:
        if submission:
            raise click.UsageError("--submission is for all questions: finish that run first")
        pictures = len({item.picture for item in benchmark.items})
        say(
            f"Scored {len(benchmark.items)} of {len(whole.items)} questions: those about images with all answers ({pictures})",
            err=True,
        )
    found, *others = (read_evaluation(path, whole, benchmark) for path in paths)
    finish(benchmark, found, others, submission, as_json)
