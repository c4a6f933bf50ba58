"""The folder of packed weights: a file for each program on this machine, with a record beside it that says whose it is and what is in it.

A file is written under another name, in a process of its own, made read-only, renamed, and never changed. Its name is a hash of the
program, of ExecuTorch's version and of the CPU's features, so nothing that decides about its content can change under it. The
engine reads it without any check, so it is checked here before: size, owner and times of change are those in the record, or else
the whole content has the recorded hashes; and a few blocks have theirs at every load, for disks that forget.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import random
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.errors import MobileVLMError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.files.cache import cache_folder
from mobilevlm_export.files.strict_json import JsonError, read_json

SETTING = "MVLM_WEIGHT_CACHE"  # the folder, or OFF
OFF = "off"
MOST_BYTES = 16 << 30  # of all files together
_BLOCK = 1 << 22
_BLOCKS_CHECKED = 6  # at every load, besides the last one, which has the index: about 2 % of the load
_DATA, _RECORD = ".weights", ".json"
_OURS = re.compile(rf"([0-9a-f]{{32}})({_DATA}|{_RECORD})")  # everything else in the folder is somebody's
# Of /proc/cpuinfo: what XNNPACK chooses its kernels by, and with them the order of packed weights.
_CPU_LINES = {"vendor_id", "cpu family", "model", "flags"}
_CPU_LINES |= {"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"}


@dataclass(frozen=True)
class PackedProgram:
    """A bundle's program: its file, size and SHA-256, and the bundle as the user named it."""

    file: Path
    bytes: int
    sha256: str
    bundle: Path

    @property
    def name(self) -> str:
        """The name of its packed weights on this machine."""
        return hashlib.sha256(json.dumps([self.sha256, version("executorch"), _cpu()]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class PackedRecord:
    """What is known about a file: the program and bundle that it belongs to, ``changed`` (inode, times of the last changes of content
    and of the file's entry, in nanoseconds), and the SHA-256 of its ``blocks``. ``failed`` tells why there is no file.
    """

    bundle: str
    program_sha256: str
    program_bytes: int
    bytes: int = 0
    changed: tuple[int, ...] = ()
    blocks: tuple[str, ...] = ()
    failed: str = ""


class PackedFile:
    """The packed weights called ``name`` in ``folder``; there may be none."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path, self.record_path = folder / f"{name}{_DATA}", folder / f"{name}{_RECORD}"

    def record(self) -> PackedRecord | None:
        """Its record; None if there is none that can be read."""
        try:
            values: Any = read_json(self.record_path)
            lists = {name: tuple(values[name]) for name in ("changed", "blocks")}
            found = PackedRecord(**values | lists)
            types_fit = all(
                isinstance(getattr(found, each.name), _TYPES[str(each.type)]) for each in fields(PackedRecord)
            )
            return found if types_fit else None
        except (OSError, JsonError, TypeError, KeyError):
            return None

    def is_intact(self, program: PackedProgram) -> bool:
        """Whether it has the weights of ``program`` as they were packed. Nobody may be writing to it or hold its lock."""
        record = self.record()
        if record is None or record.failed or record.program_sha256 != program.sha256:
            return False
        try:
            with _opened(self.path) as descriptor:
                found = os.fstat(descriptor)
                is_private = stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid())
                if not is_private or found.st_mode & 0o222 or found.st_size != record.bytes:
                    return False
                last = len(record.blocks) - 1
                if _changed(found) == record.changed:
                    chosen = {last, *random.sample(range(last), min(_BLOCKS_CHECKED, last))}
                    return all(_block_sha256(descriptor, at) == record.blocks[at] for at in chosen)
                # Copied or restored with its folder, or damaged.
                if _blocks_sha256(descriptor) != record.blocks:
                    return False
        except OSError:
            return False
        self.keep_record(record)
        return True

    def keep_record(self, record: PackedRecord) -> None:
        """Write ``record``, with the file's current times if there is a file; without effect in a folder that can't be written."""
        with suppress(OSError, MobileVLMError):
            if not record.failed:
                record = replace(record, changed=_changed(self.path.lstat()))
            with atomic_file(self.record_path) as new:
                new.write_text(json.dumps(asdict(record)), encoding="utf-8")

    def mark_used(self, program: PackedProgram) -> None:
        """Note the time, by which the least recently used files are removed first, and the bundle, which may have been moved."""
        with suppress(OSError):
            os.utime(self.record_path)
        if (record := self.record()) and record.bundle != str(program.bundle):
            self.keep_record(replace(record, bundle=str(program.bundle)))

    def used_at(self) -> float:
        """When it was last used, in seconds since the epoch; 0 without a record."""
        with suppress(OSError):
            return self.record_path.stat().st_mtime
        return 0.0

    def bytes(self) -> int:
        """Its size on disk."""
        with suppress(OSError):
            return self.path.lstat().st_size
        return 0

    def remove(self) -> None:
        """Delete it; processes that have mapped it keep its pages.

        Raises:
            OSError: it can't be deleted.
        """
        for path in (self.path, self.record_path):
            path.unlink(missing_ok=True)

    def put(self, new: Path, program: PackedProgram) -> None:
        """Make the finished file ``new`` this one.

        Raises:
            OSError: it can't be read or moved.
        """
        with _opened(new) as descriptor:
            blocks = _blocks_sha256(descriptor)
        size = new.stat().st_size
        new.chmod(0o444)
        os.replace(new, self.path)
        self.keep_record(PackedRecord(str(program.bundle), program.sha256, program.bytes, size, blocks=blocks))


_TYPES: dict[str, type] = {"str": str, "int": int, "tuple[int, ...]": tuple, "tuple[str, ...]": tuple}


def weights_folder() -> Path | None:
    """The folder that the user has chosen, or the one in the kit's cache; None if there shall be none."""
    chosen = os.environ.get(SETTING, "")
    if chosen == OFF:
        return None
    return Path(chosen).absolute() if chosen else cache_folder("packed-weights")


def packed_files(folder: Path) -> list[PackedFile]:
    """All files in ``folder``, the most recently used first."""
    with suppress(OSError):
        names = {found[1] for path in folder.iterdir() if (found := _OURS.fullmatch(path.name))}
        return sorted((PackedFile(folder, name) for name in names), key=PackedFile.used_at, reverse=True)
    return []


def sweep_packed(folder: Path, keep: str, room: int) -> None:
    """Remove the files in ``folder``, except the one called ``keep``, whose bundle was removed or exported again, and the least recently
    used ones until ``room`` more bytes fit.
    """
    others = [file for file in packed_files(folder) if file.name != keep]
    total = sum(file.bytes() for file in others)
    for file in reversed(others):
        if total + room > MOST_BYTES or is_outdated(file.record()):
            total -= file.bytes()
            with suppress(OSError):
                file.remove()


def is_outdated(record: PackedRecord | None) -> bool:
    """Whether no bundle can use the file any more: it has no record, or its bundle is gone or has another program."""
    if record is None or not (bundle := Path(record.bundle)).exists():
        return True
    if not bundle.is_dir():
        return False  # a zip: what is in it is known once it is opened
    try:
        return record.program_sha256 not in {entry.sha256 for entry in read_manifest(bundle / MANIFEST).files}
    except MobileVLMError:
        return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor for reading ``path`` itself, no link; raises OSError also if another process has locked it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _changed(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _block_sha256(descriptor: int, at: int) -> str:
    return hashlib.sha256(os.pread(descriptor, _BLOCK, at * _BLOCK)).hexdigest()


def _blocks_sha256(descriptor: int) -> tuple[str, ...]:
    size = os.fstat(descriptor).st_size
    return tuple(_block_sha256(descriptor, at) for at in range(-(-size // _BLOCK)))


def _cpu() -> list[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return [platform.machine(), *sorted({line for line in lines if line.partition(":")[0].strip() in _CPU_LINES})]
