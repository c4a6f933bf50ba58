"""``mvlm bench``: a bundle's speed and memory on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from mobilevlm_host.cli.options import backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json


@click.command(
    epilog=examples(
        "mvlm bench demo.mvlm",
        "mvlm bench demo.mvlm --threads 1 --threads 2 --report bench.html",
        "mvlm bench mobilevlm-1.7b.mvlm --image photo.jpg --repeats 9 --json",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="The image to ask about. [default: the demo's]")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    help="CPU threads; may be repeated, rounds then alternate. [default: the engine's choice]",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds, each in a fresh process."
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="Write one HTML file with charts; replaces an older report, but no other file.",
)
@backend_option
@no_weight_cache_option
@json_option
def bench(
    bundle: Path,
    image: Path | None,
    threads: tuple[int, ...],
    repeats: int,
    report_file: Path | None,
    backend: str | None,
    as_json: bool,
) -> None:
    """Measure BUNDLE on this machine: load, image, time to the first token, prefill, decode, memory, and each method's share.

    Prints medians and quartiles over rounds. Measure on an otherwise idle machine; across machines, compare ratios, not seconds.
    """
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.bench.bench_bundle import bench as measure
    from mobilevlm_host.bench.bench_report import PAGE, print_report, write_report

    if report_file:
        PAGE.require_place(report_file)  # checked before the work
    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        report = measure(
            opened,
            image=image,
            threads=threads,
            repeats=repeats,
            backend=backend,
            display_name=str(bundle),
            progress=progress,
        )
    if report_file:
        write_report(report, report_file)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
