"""Load a bundle's program with packed weights from a file, which the first load on a machine writes; wherever that isn't possible,
load it plainly.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import MobileVLMError
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.free_memory import trim
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.engines.packed_files import (
    MOST_BYTES,
    PackedFile,
    PackedProgram,
    PackedRecord,
    sweep_packed,
    weights_folder,
)
from mobilevlm_host.engines.packed_weights import is_supported, weights_in
from mobilevlm_host.engines.program_check import require_sound

_T = TypeVar("_T")

SMALLEST_BYTES = 64_000_000  # smaller programs are packed in less time than a process takes to start
STAGE = "preparing weights for this machine, once"
_WRITER = "mobilevlm_host.engines.packed_writer"
_SPARE = 1 << 30  # bytes that stay free on the disk
_LEAST_S, _SLOWEST = 60.0, 20e6  # of a writer: seconds to start and pack, bytes a second to disk
_AGAIN_S = 86_400.0  # after a failure
_POLL_S = 0.05
# On others a file may vanish or be cut while it is mapped, because another machine did it, which ends the process.
_LOCAL_DISKS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "overlay", "tmpfs"}


def load_packed(
    bundle: Bundle, load: Callable[[], _T], progress: Progress = silent, *, weight_cache: bool = True
) -> _T:
    """The result of ``load``, which loads all methods of the program of ``bundle``: with weights packed in a file if ``weight_cache`` is
    set and that is known to work here, otherwise packed in memory. Both compute the same to the bit.

    Raises:
        BundleError: the bundle has no program for ExecuTorch.
        RunnerError: the program is damaged; or as ``load``.
    """
    try:
        if weight_cache and (file := prepare_packed(bundle, progress)):
            with suppress(MobileVLMError), weights_in(file.path):
                return load()
        require_sound(bundle.artifact("executorch"))  # that of a packed program was checked before it was packed
        return load()
    finally:
        trim()  # the unpacked weights, which were read one by one


def prepare_packed(bundle: Bundle, progress: Progress = silent) -> PackedFile | None:
    """The intact packed weights of the program of ``bundle``, written if there are none yet; None where that isn't possible.

    Raises:
        BundleError: the bundle has no program for ExecuTorch.
    """
    if not (file := packed_file(bundle)):
        return None
    program = _program(bundle)
    if file.is_intact(program):
        file.mark_used(program)
        return file
    try:
        return file if _written(file, program, progress) else None
    except OSError:
        return None


def packed_file(bundle: Bundle) -> PackedFile | None:
    """Where the packed weights of ``bundle`` are, or would be; None if they aren't kept. Errors as :func:`prepare_packed`."""
    program, folder = _program(bundle), weights_folder()
    is_kept = program.bytes >= SMALLEST_BYTES and is_supported()
    if folder is None or not is_kept or _disk(folder) not in _LOCAL_DISKS:
        return None
    return PackedFile(folder, program.name)


def _program(bundle: Bundle) -> PackedProgram:
    path = bundle.artifact("executorch")
    entry = next(entry for entry in bundle.manifest.files if bundle.path / entry.path == path)
    return PackedProgram(path, entry.bytes, entry.sha256, bundle.source.absolute())


def _written(file: PackedFile, program: PackedProgram, progress: Progress) -> bool:
    """Whether ``file`` could be written, by this process or by another one at the same time."""
    folder = file.path.parent
    if _failed_lately(file, program):
        return False
    if program.bytes > MOST_BYTES:
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    limit_s = _LEAST_S + program.bytes / _SLOWEST
    with _only_writer(folder, limit_s, progress) as is_alone:
        if not is_alone or _failed_lately(file, program):
            return False
        if file.is_intact(program):
            return True
        sweep_packed(folder, file.name, program.bytes)
        if shutil.disk_usage(folder).free < program.bytes + _SPARE:
            return False
        progress(STAGE, 0, 0)
        with ScratchFolder(folder, "packing") as scratch:
            failed = _run_writer(program, scratch / file.path.name, limit_s)
            if failed:
                file.keep_record(PackedRecord(str(program.bundle), program.sha256, program.bytes, failed=failed))
                return False
            file.put(scratch / file.path.name, program)
        return file.is_intact(program)


def _run_writer(program: PackedProgram, new: Path, limit_s: float) -> str:
    """Let a process of its own write the packed weights to ``new``; returns how that failed, empty if it didn't.

    Where the disk fills up, or another process cuts the file, the system ends the process that has mapped it.
    """
    command = [sys.executable, "-m", _WRITER, str(program.file), str(new)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {limit_s:.0f} s"
    if done.returncode or not new.is_file():
        return f"ended with exit code {done.returncode}"
    return ""


def _failed_lately(file: PackedFile, program: PackedProgram) -> bool:
    record = file.record()
    is_failure = record is not None and record.failed and record.program_sha256 == program.sha256
    return bool(is_failure) and time.time() - file.used_at() < _AGAIN_S


@contextmanager
def _only_writer(folder: Path, limit_s: float, progress: Progress) -> Iterator[bool]:
    """Whether this process is the only one that writes to ``folder``; waits for another at most ``limit_s``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _locked(descriptor, limit_s, progress)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, limit_s: float, progress: Progress) -> bool:
    until = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            progress(STAGE, 0, 0)
            time.sleep(_POLL_S)
        else:
            return True


def _disk(folder: Path) -> str:
    """The type of the file system of ``folder``; empty if unknown."""
    found = [(Path("/"), "")]
    try:
        real = folder.resolve()
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4].encode().decode("unicode_escape"))
        if real.is_relative_to(place):
            found.append((place, after.split()[0]))
    return sorted(found, key=lambda each: len(each[0].parts))[-1][
        1
    ]  # of several at one place, the last covers the others
