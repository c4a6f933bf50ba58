"""``python -m mobilevlm_host.mil``: show what a saved Core ML program contains, and run it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.errors import MilError, MobileVLMError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_host.mil.evaluator import Function, Program
from mobilevlm_host.mil.program import ImageInput, Package, Precision, Signature
from mobilevlm_host.mil.values import TensorType

_EPILOG = """\b
Examples:
  python -m mobilevlm_host.mil model.mlpackage
  python -m mobilevlm_host.mil model.mlpackage --input image=cat.png --output out.npz
  python -m mobilevlm_host.mil decoder.mlpackage --function decode --input x=x.npy --input position=zeros --fp32 --json
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--function", "name", help="The function to show or run. [default: show all, run the model's default]")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input: a .npy file, an image, zeros, or random (seeded). Repeat for each input. Runs the function.",
)
@click.option(
    "--fp16/--fp32",
    "half",
    default=True,
    help="Round to fp16 where the program declares it, or compute in float32. [default: fp16]",
)
@click.option("--output", type=click.Path(path_type=Path), help="Save the outputs to this .npz file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(model: Path, name: str | None, given: tuple[str, ...], half: bool, output: Path | None, as_json: bool) -> None:
    """Show the Core ML package MODEL: functions, operations, shapes, weights. With --input, run it.

    States start at zero. This doesn't need a Mac, but doesn't show what Apple's own kernels compute either.
    """
    try:
        _main(model, name, given, "fp16" if half else "fp32", output, as_json)
    except MobileVLMError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _main(
    model: Path, name: str | None, given: tuple[str, ...], precision: Precision, output: Path | None, as_json: bool
) -> None:
    program = Program.open(model, precision)
    if output and not given:
        raise MilError("--output: got nothing to run, expected --input for each input of the function")
    if output and output.exists():
        raise MilError(f"{output}: already exists, expected a new file")
    shown = [program.function(name).signature] if name else list(program.package.functions.values())
    results: dict[str, Tensor] = {}
    if given:
        results = _run(program, program.function(name), _values(given))
        if output:
            _write(output, results)
    if as_json:
        print(json.dumps(_summary(program.package, shown, results, precision), indent=2))
    else:
        _print(program.package, shown, results)


def _run(program: Program, function: Function, given: Mapping[str, str]) -> dict[str, Tensor]:
    signature = function.signature
    if unknown := [name for name in given if name not in signature.inputs]:
        raise MilError(f"--input: got {unknown[0]!r}, expected one of {', '.join(signature.inputs) or 'none'}")
    inputs = {name: _input(text, signature.inputs[name], signature.images.get(name)) for name, text in given.items()}
    with click.progressbar(
        length=len(signature.operations), label=signature.name, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        return function.run(inputs, program.make_state(), progress)


def _values(given: tuple[str, ...]) -> dict[str, str]:
    values = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise MilError(f"--input: got {each!r}, expected NAME=VALUE")
        values[name] = value
    return values


def _input(text: str, of_type: TensorType, picture: ImageInput | None) -> Any:
    if text in ("zeros", "random"):
        shape = [1 if size is None else size for size in of_type.shape]
        if text == "zeros":
            return torch.zeros(shape, dtype=of_type.dtype.carrier)
        generator = torch.Generator().manual_seed(0)
        if picture:
            return torch.randint(0, 256, shape, generator=generator)
        if of_type.dtype.is_float:
            return torch.randn(shape, generator=generator)
        return torch.randint(0, 2, shape, generator=generator)
    path = Path(text)
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        from PIL import Image

        from mobilevlm_export.images.image_file import FORMATS

        with Image.open(path, formats=FORMATS) as image:
            return np.asarray(image.convert("L" if picture and picture.channels == 1 else "RGB"))
    except Exception as error:  # a damaged image makes decoders raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MilError(f"{text}: can't be read ({reason}), expected a .npy file, an image, zeros or random") from None


def _write(output: Path, results: Mapping[str, Tensor]) -> None:
    with atomic_file(output, error=MilError) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{key: value.numpy() for key, value in results.items()})


def _summary(
    package: Package, shown: list[Signature], results: Mapping[str, Tensor], precision: Precision
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "model": str(package.path),
        "default_function": package.default_function,
        "weight_bytes": package.weight_bytes(),
        "functions": {
            each.name: {
                "inputs": {name: str(kind) + _colors(each.images.get(name)) for name, kind in each.inputs.items()},
                "states": {name: str(kind) for name, kind in each.states.items()},
                "outputs": {name: str(kind) for name, kind in each.outputs.items()},
                "operations": each.counts(),
            }
            for each in shown
        },
    }
    if results:
        summary["precision"] = precision
        summary["outputs"] = {name: _figures(value) for name, value in results.items()}
    return summary


def _figures(value: Tensor) -> dict[str, Any]:
    wide = value.double()
    return {
        "shape": list(value.shape),
        "min": float(wide.min()),
        "mean": float(wide.mean()),
        "max": float(wide.max()),
        "finite": bool(wide.isfinite().all()),
    }


def _colors(picture: ImageInput | None) -> str:
    return f" {picture.colors} image {picture.width}x{picture.height}" if picture else ""


def _print(package: Package, shown: list[Signature], results: Mapping[str, Tensor]) -> None:
    weights = ", ".join(f"{kind} {size / 1e6:.1f} MB" for kind, size in package.weight_bytes().items())
    print(f"{package.path}\nweights: {weights or 'none in a file'}")
    for each in shown:
        print(f"\n{each.name}{' (default)' if each.name == package.default_function else ''}")
        for role, types in (("input", each.inputs), ("state", each.states), ("output", each.outputs)):
            for name, kind in types.items():
                print(f"  {role:6}  {name}: {kind}{_colors(each.images.get(name) if role == 'input' else None)}")
        print("  " + ", ".join(f"{count} {kind}" for kind, count in each.counts().items()))
    for name, value in results.items():
        found = _figures(value)
        print(f"\n{name} {found['shape']}: min {found['min']:.6g}, mean {found['mean']:.6g}, max {found['max']:.6g}")


if __name__ == "__main__":
    main(prog_name="python -m mobilevlm_host.mil")
