"""Core AI's packages: the versions that the kit was made with, and their private parts that it uses."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mobilevlm_export.dependencies.private_api import PrivateApi
from mobilevlm_export.errors import DependencyError

# Betas: another version may write other programs, or none.
VERSIONS = {"coreai-core": "1.0.0b3", "coreai-torch": "0.4.3"}
_SEEN_IN = VERSIONS["coreai-core"]
_SMALL = 16  # characters of an array

# Of the module ``coreai``: a program's listing read back, and made a program again. Their package has another name than the module.
PARSE_MODULE = PrivateApi("coreai-core", _SEEN_IN, "coreai._compiler.ir", "Module", "reads a program's listing")
CONTEXT = PrivateApi("coreai-core", _SEEN_IN, "coreai.authoring.context", "Context", "holds a program's listing")
ASSET = PrivateApi("coreai-core", _SEEN_IN, "coreai.authoring.asset", "AIModelAsset", "reads a saved program")
PROGRAM = PrivateApi("coreai-core", _SEEN_IN, "coreai.authoring.asset", "AIProgram", "writes a program that was read")
# Importing it registers torch.ops.coreai.constexpr_blockwise_shift_scale.
SHIFT_SCALE = PrivateApi(
    "coreai-torch",
    VERSIONS["coreai-torch"],
    "coreai_torch._compression.custom_layers",
    "constexpr_blockwise_shift_scale",
    "holds integer weights",
)


def require_coreai() -> None:
    """Check that Core AI's packages can be used on this machine.

    Raises:
        DependencyError: a package is missing, has another version, or can't be loaded.
    """
    for package, wanted in VERSIONS.items():
        try:
            got = version(package)
        except PackageNotFoundError:
            got = "none"
        if got != wanted:
            raise DependencyError(
                f"{package}: got {got}, expected {wanted}: pip install 'mobilevlm-kit[coreai]', on Linux x86-64 with glibc 2.34 "
                "or macOS 26 on Apple silicon"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of builds of torch, such as 2.13.0+cu130
            for module in ("coreai.runtime", "coreai_torch"):
                import_module(module)
    except (ImportError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DependencyError(f"coreai-core {_SEEN_IN}: can't be loaded on this machine ({first})") from None


def listing_of(asset: Path, *, with_weights: bool) -> str:
    """The listing of the saved program in the folder ``asset``; without its large arrays unless ``with_weights``.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    program = ASSET.load().load(asset).program
    if with_weights:
        return str(program)
    return program._module._mlir_module.operation.get_asm(large_resource_limit=_SMALL)


def program_of(listing: str) -> Any:
    """The program, ready to be saved, that ``listing`` describes.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    context = CONTEXT.load()()
    with context._mlir_context:
        module = PARSE_MODULE.load().parse(listing)
    return PROGRAM.load()._from_mlir_module(module)
