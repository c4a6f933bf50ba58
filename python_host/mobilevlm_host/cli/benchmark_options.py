"""Common to ``mvlm evaluate`` and ``mvlm score``: options, and the final output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobilevlm_host.evaluate.known_benchmarks import BENCHMARKS
from mobilevlm_host.terminal.output import print_json

if TYPE_CHECKING:
    from mobilevlm_host.evaluate.benchmark import Benchmark, Evaluation

_Command = TypeVar("_Command", bound=Callable[..., Any])


def benchmark_options(command: _Command) -> _Command:
    """The options of both commands."""
    submission = click.option(
        "--submission", type=click.Path(path_type=Path), help="Write a workbook (.xlsx) for MMBench's server."
    )
    folder = click.option(
        "--data", "folder", type=click.Path(path_type=Path), help="The benchmark's data folder; demo needs none."
    )
    name = click.option("--benchmark", "name", required=True, type=click.Choice(BENCHMARKS))
    return name(folder(submission(command)))


def require_submission_place(name: str, submission: Path | None) -> None:
    """Check that a submission can be written before anything is asked or scored."""
    if submission is None:
        return
    if name != "mmbench":
        raise click.UsageError("--submission is only for MMBench: give --benchmark mmbench")
    from mobilevlm_host.evaluate.submission import check_submission

    check_submission(submission)


def finish(
    benchmark: Benchmark, found: Evaluation, others: Sequence[Evaluation], submission: Path | None, as_json: bool
) -> None:
    """Compare, write the submission and print."""
    from mobilevlm_host.evaluate import evaluation_report as report
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
