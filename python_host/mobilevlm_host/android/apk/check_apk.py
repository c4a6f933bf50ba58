"""Compare the engine in an app with its classes' native methods and a program's needs; lists everything missing per ABI."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_host.android.apk.archive import PAGE_BYTES, Apk
from mobilevlm_host.android.apk.dex import NativeMethod, native_methods
from mobilevlm_host.android.apk.elf import MACHINES, SharedLibrary
from mobilevlm_host.android.apk.packed_program import Needs, program_needs

# The libraries that every Android provides to apps.
_SYSTEM = {f"lib{name}.so" for name in ("android", "c", "dl", "log", "m", "z")}


@dataclass(frozen=True)
class ApkFinding:
    """The result of one check. ``wrong`` lists the problems."""

    what: str
    count: int
    wrong: list[str]


def check_apk(path: Path, program: Path | None = None) -> list[ApkFinding]:
    """Check the APK ``path``, and that its engine can run ``program`` (a ``.pte``), if given.

    Raises ``ApkError`` if one of them can't be read.
    """
    with Apk(path) as apk:
        libraries = apk.libraries()
        natives = [
            method
            for name in apk.names
            if name.startswith("classes") and name.endswith(".dex")
            for method in native_methods(apk.read(name))
        ]
        findings = [
            ApkFinding("entries are aligned for mapping (libraries to 16 KB)", len(apk.names), apk.misaligned()),
            ApkFinding("libraries and resources are uncompressed", len(libraries), apk.compressed()),
        ]
    needs = program_needs(program) if program is not None else None
    if needs is not None:
        unpacked = [str(constant) for constant in needs.unpacked_constants]
        findings.append(
            ApkFinding("the program's delegates contain no constants that engines free", len(needs.backends), unpacked)
        )
    if not libraries:
        findings.append(ApkFinding("engine", 0, ["no native library, expected lib/ABI/*.so"]))
    for abi, files in sorted(libraries.items()):
        findings.extend(_check_abi(abi, files, natives, needs))
    return findings


def _check_abi(
    abi: str, files: dict[str, SharedLibrary], natives: list[NativeMethod], needs: Needs | None
) -> list[ApkFinding]:
    loads = [f"{name} is not for {abi}" for name, library in files.items() if library.machine != MACHINES.get(abi)]
    loads += [
        f"{name}: segments at {library.alignment} bytes"
        for name, library in files.items()
        if library.alignment < PAGE_BYTES
    ]
    loads += [
        f"{name} needs {needed}"
        for name, library in files.items()
        for needed in library.needed
        if needed not in files and needed not in _SYSTEM
    ]
    findings = [
        ApkFinding(f"{abi}: libraries load (dependencies, 16 KB segments)", len(files), loads),
        ApkFinding(
            f"{abi}: native methods are registered with their types, or exported",
            len(natives),
            [str(method) for method in natives if not any(_is_in(method, library) for library in files.values())],
        ),
    ]
    if needs is not None:
        findings += [
            ApkFinding(f"{abi}: {kind} of the program", len(names), _missing(names, files.values()))
            for kind, names in (("operators", needs.operators), ("backends", needs.backends))
        ]
    return findings


def _is_in(method: NativeMethod, library: SharedLibrary) -> bool:
    if method.symbol in library.exports:
        return True
    owner = method.owner  # a class is registered by its name or its descriptor
    return all(map(library.has_string, (method.name, method.type))) and any(
        map(library.has_string, (owner, f"L{owner};"))
    )


def _missing(names: Iterable[str], libraries: Iterable[SharedLibrary]) -> list[str]:
    libraries = list(libraries)
    return sorted(name for name in names if not any(library.has_string(name) for library in libraries))
