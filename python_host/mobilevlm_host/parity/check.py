"""``mvlm parity``: compare a bundle with the checkpoint that it was made from."""

from __future__ import annotations

import importlib.metadata
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mobilevlm_export import __version__
from mobilevlm_export.bundle.artifact_hash import artifact_sha256
from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT, DEMO_SAMPLES
from mobilevlm_export.errors import ParityError
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.pixels import open_image, open_images
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.arm64.arm64_methods import Arm64Methods
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.pictures import pictures
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.parity.stages import ParityReport, Stage, Subject, compare
from mobilevlm_host.parity.two_machines import TwoMachines
from mobilevlm_host.terminal.output import print_table

_QUESTION = "Describe the image."
_ARM64_STRIDE = 2  # emulation is slow: about five seconds per sample


def check_parity(
    checkpoint: Path,
    bundle: Bundle,
    *,
    images: Path | None = None,
    vision_tower: Path | None = None,
    force: bool = False,
    display_name: str | None = None,
    backend: str | None = None,
    layers: bool = False,
    arm64_cpu: str | None = None,
    progress: Progress = silent,
) -> ParityReport:
    """Compare ``bundle`` with the fp32 model in the folder ``checkpoint``, over the images in the folder ``images``.

    ``display_name`` is the bundle's name in the report (a zipped bundle is in a temporary folder).
    ``backend`` selects its artifact (default: as :func:`~mobilevlm_host.engines.choose.chosen_backend`).
    ``layers``: also measure each layer of ``model.pte``.
    Without ``images``, the samples are the demo's scenes and a dozen diverse drawn images.
    With ``arm64_cpu`` the ExecuTorch program runs on that emulated ARM CPU, and is also compared with itself on this machine;
    without ``images``, only every second sample is used.

    Raises:
        ParityError: the bundle was made from another checkpoint (unless ``force``), ``images`` contains no image, or
            ``arm64_cpu`` can't be emulated on this machine.
        BundleError: the bundle has no such artifact, or ``layers`` is set and it has none for ExecuTorch.
        CheckpointError: the checkpoint can't be read.
        RunnerError: the engine can't load the bundle.
    """
    if layers:
        bundle.artifact("executorch")  # checked before the comparison
    samples = read_samples(images) if images is not None else default_samples()[:: _ARM64_STRIDE if arm64_cpu else 1]
    got = checkpoint_sha256(checkpoint, progress)
    if not force and got != bundle.manifest.source_sha256:
        raise ParityError(
            f"{bundle.path}: made from checkpoint {bundle.manifest.source_sha256[:16]}…, "
            f"got {checkpoint} with {got[:16]}…; --force compares them anyway"
        )
    recipe = bundle.manifest.values["quantization"]["recipe"]
    thresholds.require_known(recipe, bundle.path)
    model = load_checkpoint(checkpoint, vision_tower=vision_tower, progress=progress)
    tokenizer = checkpoint_tokenizer(checkpoint)
    with ExitStack() as opened:
        runner = opened.enter_context(Runner(bundle, backend="executorch" if arm64_cpu else backend, progress=progress))
        machines = None
        if arm64_cpu:
            arm = opened.enter_context(Arm64Methods(bundle, arm64_cpu, progress=progress))
            machines = TwoMachines(arm, runner)
        report = compare(
            model,
            tokenizer,
            machines or runner.methods(),
            machines.answer if machines else runner.answer_ids,
            PhoneInputs(bundle),
            samples,
            recipe=recipe,
            max_context=bundle.manifest.max_context,
            max_prefill=bundle.manifest.max_prefill,
            progress=progress,
        )
    if layers:
        from mobilevlm_host.parity.layers import measure_layers

        report = replace(report, layers=measure_layers(model, tokenizer, bundle, samples, progress))
    subject = _subject(checkpoint, got, runner, display_name or str(bundle.path))
    if not machines:
        return replace(report, subject=subject)
    stages = machines.stages(recipe, [sample.name for sample in samples])
    subject = replace(subject, compared_with=f"{subject.compared_with}, on an emulated {arm64_cpu}")
    return replace(report, stages=report.stages + stages, subject=subject)


def _subject(checkpoint: Path, sha256: str, runner: Runner, display_name: str) -> Subject:
    bundle, values = runner.bundle, cast(Any, runner.manifest.values)
    made: dict[str, str] = values["artifacts"][runner.backend]["versions"]
    here = {name: importlib.metadata.version(name) for name in made}
    return Subject(
        checkpoint="demo" if checkpoint == DEMO_CHECKPOINT else str(checkpoint),
        checkpoint_sha256=sha256,
        bundle=display_name,
        manifest_sha256=file_sha256(bundle.path / MANIFEST),
        source_sha256=bundle.manifest.source_sha256,
        artifact_sha256=artifact_sha256(bundle.manifest, runner.backend),
        recipe_name=values["quantization"]["recipe"]["name"],
        made_with=_versions(values["kit_version"], made),
        compared_with=_versions(__version__, here),
        backend=runner.backend,
        computed_by=runner.computed_by,
    )


def _versions(kit: str, tools: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in {"mobilevlm-kit": kit, **tools}.items())


def default_samples() -> list[Sample]:
    """The demo's scenes with their questions, and a dozen diverse images."""
    listed = json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))["samples"]
    samples = [
        Sample(f"{entry['image']}: {qa['question']}", image, qa["question"])
        for entry in listed
        for image in [open_image(DEMO_SAMPLES / entry["image"])]
        for qa in entry["questions"]
    ]
    return samples + [Sample(name, image, _QUESTION) for name, image in pictures().items()]


def read_samples(folder: Path) -> list[Sample]:
    """Every image in ``folder``, sorted by name, with one question."""
    if not folder.is_dir():
        raise ParityError(f"{folder}: no such folder, expected images")
    samples = [Sample(path.name, image, _QUESTION) for path, image in open_images(folder)]
    if not samples:
        raise ParityError(f"{folder}: got no image that can be opened, expected at least one")
    return samples


def print_report(report: ParityReport, title: str) -> None:
    """Print one line per stage, and the verdict."""
    rows = [
        (
            stage.name,
            "ok" if stage.passed else "DIVERGES",
            _figures(stage.metrics),
            _figures(stage.threshold),
            stage.worst,
        )
        for stage in (*report.stages, *report.layers)
    ]
    print_table(title, ("stage", "", "measured", "limit", "worst"), rows)
    print(verdict(report))
    if report.subject and report.subject.computed_by.shows:
        print(report.subject.computed_by.shows)


def verdict(report: ParityReport) -> str:
    """One line: pass, or the first stage beyond its limits and its worst sample."""
    failed: Stage | None = next((stage for stage in report.stages if stage.name == report.first_divergence), None)
    if failed is None:
        samples = f"{report.samples} samples of {report.decode_steps} decoded tokens"
        return f"pass: every stage is within its limits over {samples}; {report.changed_answers}"
    layer = f"; the first layer is {report.first_layer}" if report.first_layer else ""
    return f"fail: {failed.name} is the first stage beyond its limits (worst: {failed.worst}){layer}"


def _figures(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
