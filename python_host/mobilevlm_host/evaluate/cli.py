"""``mvlm score``: the paper's benchmarks on answers that were made elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_export.cli import examples, json_option
from mobilevlm_export.terminal import print_json, print_table
from mobilevlm_host.evaluate.benchmarks import FOLDER_BENCHMARKS


@click.command(
    epilog=examples(
        "mvlm score --benchmark gqa --data benchmark_data/gqa --predictions gqa.jsonl",
        "mvlm score --benchmark pope --data benchmark_data/pope --predictions llava_pope_test/predictions.jsonl --json",
        "mvlm score --benchmark mmbench --data benchmark_data/mmbench --predictions mmbench.jsonl --submission up.xlsx",
    )
)
@click.option("--benchmark", "name", required=True, type=click.Choice(FOLDER_BENCHMARKS))
@click.option("--data", "folder", required=True, type=click.Path(path_type=Path), help="The benchmark's own folder.")
@click.option(
    "--predictions",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON Lines: id and answer (mvlm evaluate), or question_id, prompt and text (the authors' scripts).",
)
@click.option("--submission", type=click.Path(path_type=Path), help="Write MMBench's workbook (.xlsx) for its server.")
@json_option
def score(name: str, folder: Path, predictions: Path, submission: Path | None, as_json: bool) -> None:
    """Score answers made elsewhere as the benchmark's official scorer does.

    Every question needs exactly one answer. Pictures aren't opened.
    """
    from mobilevlm_host.evaluate.benchmarks import load_benchmark
    from mobilevlm_host.evaluate.predictions import read_answers

    if submission:
        if name != "mmbench":
            raise click.UsageError("--submission is MMBench's: give --benchmark mmbench")
        from mobilevlm_host.evaluate.submission import check_submission

        check_submission(submission)
    benchmark = load_benchmark(name, folder)
    answers = read_answers(predictions, benchmark)
    scores = benchmark.score(answers)
    if submission:
        from mobilevlm_host.evaluate.mmbench import MMBench
        from mobilevlm_host.evaluate.submission import write_submission

        assert isinstance(benchmark, MMBench)
        write_submission(benchmark, answers, submission)
    if as_json:
        print_json({"benchmark": name, "questions": len(scores.by_item), "metrics": dict(scores.metrics)})
    else:
        rows = [(metric, f"{value:.2f}") for metric, value in scores.metrics.items()]
        print_table(f"{name}: {len(scores.by_item)} questions", ("", ""), rows)
