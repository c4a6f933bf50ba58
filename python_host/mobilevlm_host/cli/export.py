"""``mvlm export``: make a bundle from a checkpoint."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilevlm_export.job import BACKENDS, CACHE_UPDATES, CALIBRATIONS, DEFAULT_RECIPE, ExportJob
from mobilevlm_export.progress import megabytes
from mobilevlm_export.quantize.recipe import KNOBS, RECIPES, Recipe, make_recipe
from mobilevlm_export.quantize.recipe_file import read_recipe
from mobilevlm_host.terminal.command import examples, json_option
from mobilevlm_host.terminal.output import drawn_progress, print_json, print_table

if TYPE_CHECKING:
    from mobilevlm_export.bundle.manifest import Manifest


@click.command(
    epilog=examples(
        "mvlm export demo -o demo.mvlm",
        "mvlm export ./MobileVLM_V2-1.7B -o mobilevlm-1.7b.mvlm --calibration ./photos",
        "mvlm export mtgv/MobileVLM_V2-3B -o 3b.mvlm --recipe int8 --zip",
        "mvlm export ./MobileVLM_V2-1.7B -o vision-fp32.mvlm --vision fp32 --lm-head int8",
        "mvlm export ./MobileVLM_V2-1.7B -o both-phones.mvlm --backend executorch,coreml --zip",
    )
)
@click.argument("checkpoint")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle to write (a folder).")
@click.option(
    "--backend",
    "backends",
    default=BACKENDS[0],
    show_default=True,
    help="Backends, comma-separated: executorch (Android, this machine), coreml (iOS), coreai (iOS 27, experimental).",
)
@click.option(
    "--recipe",
    "recipe_name",
    default=DEFAULT_RECIPE,
    show_default=True,
    help=f"{', '.join(RECIPES)}; or a file from mvlm sensitivity (NAME.toml).",
)
@click.option(
    "--calibration",
    metavar="DIR|scenes|none",
    help="What int4 weights are fitted to: the images in a folder, generated scenes, or nothing. [default: scenes]",
)
@click.option("--llm", type=click.Choice(KNOBS["llm"]), help="The text decoder's weights, instead of the recipe's.")
@click.option(
    "--lm-head", type=click.Choice(KNOBS["lm_head"]), help="The decoder's last linear. [default: follows --llm]"
)
@click.option("--vision", type=click.Choice(KNOBS["vision"]), help="The vision tower's weights.")
@click.option("--projector", type=click.Choice(KNOBS["projector"]), help="The projector's weights.")
@click.option("--embedding", type=click.Choice(KNOBS["embedding"]), help="The token embedding's weights.")
@click.option("--max-context", type=click.IntRange(min=64), help="Longest conversation in tokens. [default: 1024]")
@click.option(
    "--coreml-cache-update",
    type=click.Choice(CACHE_UPDATES),
    default=CACHE_UPDATES[0],
    show_default=True,
    help="How Core ML's KV cache is written; one-hot is for the Neural Engine, but untested on one.",
)
@click.option(
    "--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without a tower."
)
@click.option("--zip", "zipped", is_flag=True, help="Also write OUTPUT.zip, for a phone.")
@click.option("--force", is_flag=True, help="Replace OUTPUT once the new bundle is complete.")
@click.option(
    "--golden/--no-golden",
    default=True,
    help="Ask the bundle and store its answers in it; slow for a large bundle without ExecuTorch. [default: golden]",
)
@json_option
def export(
    checkpoint: str,
    output: Path,
    backends: str,
    recipe_name: str,
    calibration: str | None,
    max_context: int | None,
    coreml_cache_update: str,
    vision_tower: Path | None,
    zipped: bool,
    force: bool,
    golden: bool,
    as_json: bool,
    **knobs: str | None,
) -> None:
    """Quantize and lower CHECKPOINT into a bundle for phones.

    CHECKPOINT is a folder in the published layout, a model id such as mtgv/MobileVLM_V2-1.7B, or "demo".
    """
    names = parsed_backends(backends)
    if coreml_cache_update != CACHE_UPDATES[0] and "coreml" not in names:
        raise click.UsageError("--coreml-cache-update requires --backend coreml")
    recipe = chosen_recipe(recipe_name, knobs)
    if calibration and "int4" not in recipe.linear_schemes:
        raise click.UsageError(f"--calibration requires a recipe with int4, got {recipe.name}")
    job = ExportJob(
        checkpoint=checkpoint,
        output=output,
        recipe=recipe,
        calibration=calibration_of(calibration),
        backends=names,
        max_context=max_context,
        coreml_cache_update=coreml_cache_update,
        vision_tower=vision_tower,
        zipped=zipped,
        force=force,
    )
    from mobilevlm_export.pipeline import export_bundle
    from mobilevlm_host.records.golden import export_with_golden

    begin = time.monotonic()
    with drawn_progress() as progress:
        manifest = (export_with_golden if golden else export_bundle)(job, progress).manifest
    export_s = round(time.monotonic() - begin, 1)
    if as_json:
        print_json(summary(job, manifest, export_s))
    else:
        print_table(f"Wrote {output}", ("", ""), rows(job, manifest, export_s))


def calibration_of(text: str | None) -> Path | str:
    """The calibration of an :class:`ExportJob`: one of its words, or else a folder."""
    return text if text in CALIBRATIONS else Path(text) if text else CALIBRATIONS[0]


def parsed_backends(text: str) -> tuple[str, ...]:
    """The backends in the comma-separated ``text``."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in BACKENDS:
            raise click.BadParameter(f"got {name!r}, expected {' or '.join(BACKENDS)}", param_hint="--backend")
    return names


def chosen_recipe(name: str, knobs: dict[str, str | None]) -> Recipe:
    """The recipe ``name``, or the one in the file ``name``, with ``knobs`` set."""
    given = {knob: scheme for knob, scheme in knobs.items() if scheme}
    if not name.endswith(".toml"):
        return make_recipe(name, **given)
    if given:
        raise click.UsageError(f"{name} sets every part: change it there, not with --{next(iter(given))}")
    return read_recipe(Path(name))


def summary(job: ExportJob, manifest: Manifest, export_s: float) -> dict[str, Any]:
    """The output of ``--json``."""
    kept = {key: manifest.values[key] for key in ("source", "quantization", "context", "memory")}
    return {"bundle": str(job.output), "bytes": manifest.total_bytes, **kept, "export_s": export_s}


def rows(job: ExportJob, manifest: Manifest, export_s: float) -> list[tuple[str, str]]:
    """The rows of the table: sizes, the scheme of each part, and the unquantized rest."""
    from mobilevlm_export.bundle.write import zip_of

    values = manifest.values
    facts = {
        "size": megabytes(manifest.total_bytes),
        **({"zip": f"{zip_of(job.output)}, {megabytes(zip_of(job.output).stat().st_size)}"} if job.zipped else {}),
        "programs": ", ".join(f"{name} {megabytes(made['bytes'])}" for name, made in values["artifacts"].items()),
        "memory need": megabytes(values["memory"]["bytes"]),
        "context": f"{manifest.max_context} tokens, {manifest.config.image_tokens} of them for an image",
        "time": f"{export_s:.0f} s",
    }
    facts |= {part["component"]: part["scheme"] for part in values["quantization"]["components"]}
    unquantized = [
        (f"not quantized: {item['component']}", f"{item['what']} ({item['reason']})")
        for item in values["quantization"]["unquantized"]
    ]
    return [*facts.items(), *unquantized]
