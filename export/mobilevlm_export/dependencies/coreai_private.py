"""Core AI's packages: the versions that the kit was made with, and their private parts that it uses."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from mobilevlm_export.dependencies.private_api import PrivateApi, replaced
from mobilevlm_export.errors import DependencyError

# Betas: another version may write other programs, or none.
VERSIONS = {"coreai-core": "1.0.0b3", "coreai-torch": "0.4.3"}
_SEEN_IN = VERSIONS["coreai-core"]
_SMALL = 16  # characters of an array
_ARRAY = re.compile(r'"0x([0-9a-fA-F]*)"')
_HEADER = 4  # bytes before an array's data: its alignment
_ALIGNMENT = 16  # bytes, of arrays as the converter writes them

# Of the module ``coreai``: a program's listing read back, and made a program again. Their package has another name than the module.
_IR = "coreai._compiler.ir"
MODULE = PrivateApi("coreai-core", _SEEN_IN, _IR, "Module", "reads a program's listing")
LARGE_ARRAY = PrivateApi("coreai-core", _SEEN_IN, _IR, "DenseResourceElementsAttr", "holds a large array")
WALK = PrivateApi("coreai-core", _SEEN_IN, _IR, "WalkResult", "continues a walk through a program")
ASSET = PrivateApi("coreai-core", _SEEN_IN, "coreai.authoring.asset", "AIModelAsset", "reads a saved program")
PROGRAM = PrivateApi("coreai-core", _SEEN_IN, "coreai.authoring.asset", "AIProgram", "writes a program that was read")
FUNCTION_NAME = PrivateApi(
    "coreai-core",
    _SEEN_IN,
    "coreai.authoring.graph_builder",
    "_randomize_fn_name",
    "names the converter's own functions",
)
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


def read_program(asset: Path) -> Any:
    """The saved program in the folder ``asset``.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    return ASSET.load().load(asset).program


def listing_of(program: Any) -> str:
    """The listing of ``program`` without its large arrays: they would take twice their bytes."""
    return program._module._mlir_module.operation.get_asm(large_resource_limit=_SMALL)


def rewritten(program: Any, listing: str, converted: Callable[[bytes], np.ndarray]) -> Any:
    """The program, ready to be saved, that ``listing`` describes: that of ``program`` with other types.

    A large array whose type is the same is shared with ``program``, not copied; of one with another type, ``converted`` makes the
    new array from the bytes of the old one.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    module, large = program._module._mlir_module, LARGE_ARRAY.load()
    with module.context:
        made = MODULE.load().parse(listing)
        for old, new in zip(_constants(module), _constants(made), strict=True):
            value = old.attributes["value"]
            if not large.isinstance(value):
                continue
            if (kind := new.results[0].type) != old.results[0].type:
                value = large.get_from_buffer(converted(array_of(old)), "converted", kind)
            new.attributes["value"] = value
    return PROGRAM.load()._from_mlir_module(made)


@contextmanager
def numbered_functions() -> Iterator[None]:
    """Let the converter number its own functions instead of giving them random names.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    FUNCTION_NAME.load()
    count = itertools.count()
    owner = import_module(FUNCTION_NAME.module)
    with replaced(owner, FUNCTION_NAME.name, lambda name: f"{name}_{next(count)}"):
        yield


def number_arrays(program: Any) -> None:
    """Name the large arrays of ``program`` by their order: the converter's names differ from process to process.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    module, large = program._module._mlir_module, LARGE_ARRAY.load()
    numbered: dict[str, Any] = {}
    with module.context:
        for constant in _constants(module):
            value = constant.attributes["value"]
            if not large.isinstance(value):
                continue
            if (name := str(value)) not in numbered:
                data, kind = np.frombuffer(array_of(constant), np.uint8), constant.results[0].type
                numbered[name] = large.get_from_buffer(data, f"array_{len(numbered)}", kind, _ALIGNMENT)
            constant.attributes["value"] = numbered[name]


def array_of(constant: Any) -> bytes:
    """The bytes of the large array ``constant``, which only a listing shows: that of this constant alone."""
    found = _ARRAY.search(constant.operation.clone(ip=False).get_asm())
    if not found:
        raise DependencyError(f"coreai-core {_SEEN_IN}: got a listing without the array, expected {_ARRAY.pattern}")
    return bytes.fromhex(found[1])[_HEADER:]


def _constants(module: Any) -> list[Any]:
    found, result = [], WALK.load()

    def visit(operation: Any) -> Any:
        if operation.name == "coreai.constant":
            found.append(operation)
        return result.ADVANCE

    module.operation.walk(visit)
    return found
