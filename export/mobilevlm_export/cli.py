"""The commands that make and check bundles. Each one: parse → one library call → print.

Only click and the kit's light modules are imported here: ``mvlm --help`` must not wait for torch. Golden records are made
by the host's runner; the host hands its function in as click's ``obj``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilevlm_export.errors import MobileVLMError
from mobilevlm_export.progress import Progress, megabytes
from mobilevlm_export.streams import prepare_streams
from mobilevlm_export.terminal import drawn_progress, print_facts, print_json, print_table
from mobilevlm_export.termination import unwound_at_termination

if TYPE_CHECKING:
    from mobilevlm_export.bundle.read import Bundle

LLM_SCHEMES = ("fp32", "int8", "int4", "int4-calibrated")
PART_SCHEMES = ("fp32", "int8", "int4")
RECIPE_NAMES = ("int4", "int8", "int4-calibrated", "int4-all", "fp32")
BACKENDS = ("executorch", "coreml")
CACHE_UPDATES = ("slice", "one-hot")
THREADS = click.IntRange(min=1, max=1024)

backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    help="Which of BUNDLE's artifacts. [default: executorch if it is there, else coreml]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object for scripts.")


def examples(*lines: str) -> str:
    """The end of a command's help: commands that work as printed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def hide_library_warnings() -> None:
    """Keep from the terminal what libraries log of themselves when they are imported: a user can do nothing about it."""
    # torchao: a deprecation of its own.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    # coremltools: what it can't do on this system or hasn't tried with this torch.
    logging.getLogger("coremltools").setLevel(logging.ERROR)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the kit's errors and the system's into click's: one line and exit code 1, never a traceback. A command that is ended by
    SIGTERM or SIGHUP cleans up first.
    """
    try:
        with unwound_at_termination():
            yield
    except MobileVLMError as error:
        raise click.ClickException(str(error)) from error
    except BrokenPipeError:
        raise  # click ends quietly when the reader of a pipe has gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error


class OneLineErrors(click.Group):
    """A group whose commands end a user's mistake as :func:`one_line_errors` does."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Begin with streams that can be read and printed to."""
        prepare_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with one_line_errors():
            return super().invoke(ctx)


@click.command(
    epilog=examples(
        "mvlm export demo -o demo.mvlm",
        "mvlm export ./MobileVLM_V2-1.7B -o mobilevlm-1.7b.mvlm",
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
    default="executorch",
    show_default=True,
    help="What to lower to: executorch (Android, this machine), coreml (iOS), or both: executorch,coreml.",
)
@click.option(
    "--recipe",
    "recipe_name",
    default="int4",
    show_default=True,
    help=f"{', '.join(RECIPE_NAMES)}; or a file from mvlm sensitivity (NAME.toml).",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="A folder of pictures that int4-calibrated is fitted to. [default: generated scenes]",
)
@click.option("--llm", type=click.Choice(LLM_SCHEMES), help="The text decoder's weights, instead of the recipe's.")
@click.option("--lm-head", type=click.Choice(LLM_SCHEMES), help="The decoder's last linear. [default: goes with --llm]")
@click.option("--vision", type=click.Choice(PART_SCHEMES), help="The vision tower's weights.")
@click.option("--projector", type=click.Choice(PART_SCHEMES), help="LDPv2's weights.")
@click.option("--embedding", type=click.Choice(PART_SCHEMES), help="The token embedding's weights.")
@click.option("--max-context", type=click.IntRange(min=64), help="Longest conversation in tokens. [default: 1024]")
@click.option(
    "--coreml-cache-update",
    type=click.Choice(CACHE_UPDATES),
    default="slice",
    show_default=True,
    help="How Core ML's KV cache is written; one-hot is for the Neural Engine, and not tried on one.",
)
@click.option("--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without one.")
@click.option("--zip", "zipped", is_flag=True, help="Write OUTPUT.zip beside the bundle too, for a phone.")
@click.option("--force", is_flag=True, help="Replace OUTPUT, once the new bundle is complete.")
@click.option(
    "--golden/--no-golden",
    default=True,
    help="Ask the bundle and keep its answers in it; slow for a large Core ML program alone. [default: golden]",
)
@json_option
@click.pass_obj
def export(
    add_golden: Callable[[Bundle, Progress], None],
    /,
    checkpoint: str,
    output: Path,
    backends: str,
    recipe_name: str,
    calibration: Path | None,
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
    names = tuple(dict.fromkeys(name.strip() for name in backends.split(",")))
    for name in names:
        if name not in BACKENDS:
            raise click.BadParameter(f"got {name!r}, expected {' or '.join(BACKENDS)}", param_hint="--backend")
    if coreml_cache_update != "slice" and "coreml" not in names:
        raise click.UsageError("--coreml-cache-update is of --backend coreml")
    from mobilevlm_export.pipeline import ExportJob, export_bundle
    from mobilevlm_export.quantize.recipe import CALIBRATED, make_recipe
    from mobilevlm_export.quantize.recipe_file import read_recipe

    set_knobs = {knob: scheme for knob, scheme in knobs.items() if scheme}
    if recipe_name.endswith(".toml"):
        if set_knobs:
            raise click.UsageError(f"{recipe_name} sets every part: change it there, not by --{next(iter(set_knobs))}")
        recipe = read_recipe(Path(recipe_name))
    else:
        recipe = make_recipe(recipe_name, **set_knobs)
    if calibration and CALIBRATED not in recipe.decoder_schemes:
        raise click.UsageError(f"--calibration is of recipes with {CALIBRATED}, got {recipe.name}")
    job = ExportJob(
        checkpoint=checkpoint,
        output=output,
        recipe=recipe,
        calibration=calibration,
        backends=names,
        max_context=max_context,
        coreml_cache_update=coreml_cache_update,
        vision_tower=vision_tower,
        zipped=zipped,
        force=force,
    )
    with drawn_progress() as progress:
        complete = (lambda bundle: add_golden(bundle, progress)) if golden else None
        manifest = export_bundle(job, progress, complete).manifest
    values = manifest.values
    size = sum(entry.bytes for entry in manifest.files)
    if as_json:
        summary = {key: values[key] for key in ("source", "quantization", "context", "memory", "export_s")}
        print_json({"bundle": str(output), "bytes": size, **summary})
        return
    from mobilevlm_export.bundle.write import zip_of

    left = values["quantization"]["unquantized"]
    facts = {
        "size": megabytes(size),
        **({"zip": f"{zip_of(output)}, {megabytes(zip_of(output).stat().st_size)}"} if zipped else {}),
        "programs": ", ".join(f"{name} {megabytes(made['bytes'])}" for name, made in values["artifacts"].items()),
        "memory need": megabytes(values["memory"]["bytes"]),
        "context": f"{manifest.max_context} tokens, {manifest.config.image_tokens} of them an image's",
        "time": f"{values['export_s']:.0f} s",
    }
    facts |= {f"{part['component']}": part["scheme"] for part in values["quantization"]["components"]}
    rows = [(f"not quantized: {item['component']}", f"{item['what']} ({item['reason']})") for item in left]
    print_table(f"Wrote {output}", ("", ""), [*facts.items(), *rows])


@click.command(epilog=examples("mvlm inspect demo", "mvlm inspect ./MobileVLM_V2-1.7B --json"))
@click.argument("checkpoint")
@click.option("--vision-tower", type=click.Path(path_type=Path), help="A CLIP folder, for a checkpoint without one.")
@json_option
def inspect(checkpoint: str, vision_tower: Path | None, as_json: bool) -> None:
    """Print the sizes, parameters and dtypes of CHECKPOINT, and what a bundle of it would need."""
    from mobilevlm_export.checkpoint.inspect import inspect_checkpoint
    from mobilevlm_export.checkpoint.resolve import resolve_checkpoint

    with drawn_progress() as progress:
        folder = resolve_checkpoint(checkpoint, progress)
    inspection = inspect_checkpoint(folder, vision_tower=vision_tower)
    if as_json:
        print_json(inspection.to_json())
    else:
        print_facts(inspection.path, dict(inspection.rows()))


@click.command(epilog=examples("mvlm verify demo.mvlm", "mvlm verify demo.mvlm.zip --json"))
@click.argument("bundle", type=click.Path(path_type=Path))
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Check every file of BUNDLE against its manifest, and that its ExecuTorch program holds nothing that phones free."""
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_export.lower.unpacked_constants import require_no_unpacked_constants

    with drawn_progress() as progress, Bundle.open(bundle, progress=progress) as opened:
        files = opened.manifest.files
        if "executorch" in opened.manifest.values["artifacts"]:
            require_no_unpacked_constants(opened.artifact("executorch"))
    total = sum(file.bytes for file in files)
    if as_json:
        print_json({"bundle": str(bundle), "verified": True, "files": len(files), "bytes": total})
    else:
        click.echo(f"{bundle}: {len(files)} files, {megabytes(total)}, all as the manifest says")


@click.command(epilog=examples("mvlm push demo.mvlm", "mvlm push demo.mvlm --serial emulator-5554"))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--serial", help="Which phone, if several are connected (see adb devices).")
def push(bundle: Path, serial: str | None) -> None:
    """Copy BUNDLE to the app on a phone connected by USB."""
    from mobilevlm_export.bundle.push import push_bundle

    with drawn_progress() as progress:
        target = push_bundle(bundle, serial, progress)
    click.echo(f"{bundle} is on the phone as {target}")


@click.command(epilog=examples("mvlm synth 1.7b -o random-1.7b", "mvlm export random-1.7b -o random-1.7b.mvlm"))
@click.argument("size", type=click.Choice(("1.7b", "3b", "7b")))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder to write.")
@click.option("--seed", default=0, show_default=True, help="Seed of the random weights.")
def synth(size: str, output: Path, seed: int) -> None:
    """Write a checkpoint of true SIZE with random weights, to try and measure without the real ones."""
    from mobilevlm_export.checkpoint.synth import synth_checkpoint

    with drawn_progress() as progress:
        synth_checkpoint(size, output, seed=seed, progress=progress)
    click.echo(f"Wrote {output}: {size} with random weights; its answers are noise")
