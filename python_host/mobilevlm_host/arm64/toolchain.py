"""Build the ARM programs of this folder with ExecuTorch's own ARM library, and find the emulator.

The library is from ExecuTorch's wheel for aarch64, in the installed version, downloaded once by pip and verified. Downloads and
programs are cached in ``~/.cache/mobilevlm-kit/arm64`` (or under ``XDG_CACHE_HOME``).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

from mobilevlm_export.errors import EngineError
from mobilevlm_export.files.cache import cache_folder
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.progress import Progress, silent

SOURCES = Path(__file__).parent
COMPILER = "aarch64-linux-gnu-g++"
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
# Debian's cross toolchain includes the ARM C and C++ libraries that the programs load.
ROOT = Path("/usr/aarch64-linux-gnu")
_PACKAGES = "g++-aarch64-linux-gnu qemu-user-static"
# The library is C++ and the same for every Python version.
_WHEELS = {"1.5.1": "8ee02348a3ea80ddf770822911ebf78da616b73afce0fbaaa79f23311c88c66a"}
_PLATFORM, _PYTHON = "manylinux_2_28_aarch64", "3.11"
_UNPACKED = ("executorch/lib/", "executorch/include/")
_LIBRARIES = (
    "executorch", "executorch_backend_xnnpack", "executorch_kernels_optimized", "executorch_kernels_quantized",
    "executorch_threadpool",
)  # fmt: skip
_FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-DC10_USING_CUSTOM_GENERATED_MACROS")


def emulator() -> str:
    """The path of the emulator.

    Raises:
        EngineError: there is none.
    """
    found = next((path for name in EMULATORS if (path := shutil.which(name))), None)
    if found is None:
        raise _missing(EMULATORS[0])
    return found


def build_methods(sources: Path = SOURCES, progress: Progress = silent) -> Path:
    """The program ``run_methods``, built from ``run_methods.cpp`` and ``llama_ops.cpp`` in ``sources`` unless cached.

    Raises:
        EngineError: a tool is missing, the wheel can't be had, or the sources don't compile.
    """
    _require_compiler()
    library = _library(progress)
    include, lib = library / "include", library / "lib"
    flags = (
        f"-isystem{include}", f"-isystem{include}/executorch/runtime/core/portable_type/c10", f"-L{lib}",
        "-Wl,--no-as-needed", *(f"-l{name}" for name in _LIBRARIES), f"-Wl,-rpath,{lib}",
    )  # fmt: skip
    return _build("run_methods", [sources / "run_methods.cpp", sources / "llama_ops.cpp"], flags, progress)


def build_smopa(progress: Progress = silent) -> Path:
    """The program ``smopa``, which tests a CPU's SME; errors as :func:`build_methods`."""
    _require_compiler()
    return _build("smopa", [SOURCES / "smopa.cpp"], (), progress)


def _require_compiler() -> None:
    if shutil.which(COMPILER) is None or not ROOT.is_dir():
        raise _missing(COMPILER)


def _missing(tool: str) -> EngineError:
    return EngineError(f"arm64: {tool} not found, expected it on PATH; install it: sudo apt-get install {_PACKAGES}")


def _build(name: str, sources: list[Path], flags: tuple[str, ...], progress: Progress) -> Path:
    """Compile ``sources`` to a program in a folder whose name is a hash of all inputs."""
    compiler = subprocess.run([COMPILER, "--version"], capture_output=True, check=True).stdout
    parts = [compiler, *(source.read_bytes() for source in sources), "\0".join((*_FLAGS, *flags)).encode()]
    key = hashlib.sha256(b"\0\0".join(parts)).hexdigest()[:16]
    program = cache_folder("arm64") / f"{name}-{key}" / name
    if program.is_file():
        return program
    progress(f"compiling {name} for ARM", 0, 0)
    cache_folder("arm64").mkdir(parents=True, exist_ok=True)
    with ScratchFolder(cache_folder("arm64")) as folder:
        made = folder / "made" / name
        made.parent.mkdir()
        command = [COMPILER, *_FLAGS, *map(str, sources), *flags, "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise EngineError(f"arm64: {COMPILER} can't build {name} ({lines[0].strip()})")
        _move_into_place(made.parent, program.parent)
    return program


def _library(progress: Progress) -> Path:
    """The folder with ``lib`` and ``include`` of ExecuTorch for aarch64."""
    wanted = version("executorch")
    if wanted not in _WHEELS:
        raise EngineError(
            f"arm64: got executorch {wanted}, expected {' or '.join(_WHEELS)}, whose wheels for ARM are known"
        )
    folder = cache_folder("arm64") / f"executorch-{wanted}-{_WHEELS[wanted][:16]}"
    if not folder.is_dir():
        progress("downloading ExecuTorch for ARM (18 MB)", 0, 0)
        cache_folder("arm64").mkdir(parents=True, exist_ok=True)
        with ScratchFolder(cache_folder("arm64")) as temporary:
            wheel = _download(wanted, temporary)
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(_UNPACKED)]
                archive.extractall(temporary, names)
            _move_into_place(temporary / "executorch", folder)
    return folder


def _download(wanted: str, folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
        "--platform", _PLATFORM, "--python-version", _PYTHON, "--dest", str(folder), f"executorch=={wanted}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise EngineError(f"arm64: pip can't download executorch {wanted} for {_PLATFORM} ({lines[-1].strip()})")
    got = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if got != _WHEELS[wanted]:
        raise EngineError(f"arm64: {wheels[0].name}: got SHA-256 {got[:16]}…, expected {_WHEELS[wanted][:16]}…")
    return wheels[0]


def _move_into_place(made: Path, place: Path) -> None:
    """Move the folder ``made`` to ``place``, unless another process was faster."""
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def emulated(emulator: str, cpu: str, *command: str) -> list[str]:
    """The command that runs the ARM program ``command`` on an emulated ``cpu``."""
    return [emulator, "-cpu", cpu, "-L", str(ROOT), *command]
