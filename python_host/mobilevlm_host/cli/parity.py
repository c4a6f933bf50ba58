"""``mvlm parity``: compare a bundle with the fp32 model, stage by stage."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mobilevlm_host.cli.engine_options import arm64_options
from mobilevlm_host.cli.options import backend_option, no_weight_cache_option
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json


@click.command(
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
    help="A folder of images. [default: the demo's scenes and a dozen more]",
)
@click.option(
    "--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without a tower."
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="Write one HTML file with all results; replaces an older report, but no other file.",
)
@backend_option
@click.option("--layers", is_flag=True, help="Also measure each layer of the ExecuTorch program.")
@click.option("--force", is_flag=True, help="Compare even if BUNDLE was made from another checkpoint.")
@arm64_options
@no_weight_cache_option
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
    """Compare BUNDLE with the fp32 model of CHECKPOINT, stage by stage; exits with 1 and names the first stage that diverges."""
    if arm64_cpu and backend in ("coreml", "coreai"):
        raise click.UsageError(f"--arm64 runs ExecuTorch's program: omit --backend {backend}")
    if arm64_cpu and layers:
        raise click.UsageError("--layers runs the program on this machine, not on the emulated CPU: omit --arm64")
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
    from mobilevlm_host.parity.check import check_parity, print_report
    from mobilevlm_host.parity.parity_page import PAGE, write_report

    if layers and backend in ("coreml", "coreai"):
        raise click.UsageError(f"--layers runs the ExecuTorch program: omit --backend {backend}")
    if report_file:
        PAGE.require_place(report_file)  # checked before the work
    with drawn_progress() as progress:
        opened = Bundle.open(bundle, progress=progress)
        report = check_parity(
            resolve_checkpoint(checkpoint, progress),
            opened,
            images=images,
            vision_tower=vision_tower,
            force=force,
            display_name=str(bundle),
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
