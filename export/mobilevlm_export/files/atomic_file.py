"""Files and folders that are written whole or not at all.

They are made in a hidden folder beside their place and renamed at the end. What the place must be like is checked before the work
and again at the moment of renaming: nothing is replaced that appeared meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mobilevlm_export.errors import MobileVLMError, OutputError
from mobilevlm_export.files.rename import exchange, rename_new
from mobilevlm_export.files.scratch import ScratchFolder, sweep

# Raises an error unless the path that it is given, which exists, may be replaced.
Check = Callable[[Path], None]


class Staged:
    """What is to become ``output``; ``new`` is the path to make it at."""

    def __init__(self, output: Path, folder: Path, error: type[MobileVLMError], replaceable: Check) -> None:
        self.output, self.new = output, folder / "new" / output.name
        self._old, self._withdrawn = folder / "old" / output.name, folder / "withdrawn"
        self._error, self._replaceable = error, replaceable

    def check(self) -> None:
        """Raise an error if ``output`` exists and may not be replaced."""
        if self.output.is_symlink() and not self.output.exists():
            raise self._error(f"{self.output}: got a link to nothing, expected a place to write")
        if os.path.lexists(self.output):
            self._replaceable(self.output)

    def withdraw(self) -> None:
        """Take away what ``output`` is now, which :meth:`put` replaces; it comes back if that is never reached."""
        if os.path.lexists(self.output):
            self.check()
            self.output.rename(self._withdrawn)

    def restore(self) -> None:
        """Bring back what was withdrawn, unless there is something new."""
        with suppress(OSError):
            rename_new(self._withdrawn, self.output)

    def put(self) -> None:
        """Rename ``new`` to ``output``; what that was until now goes with the hidden folder."""
        _follow_umask(self.new)
        while True:
            with suppress(FileExistsError):
                return rename_new(self.new, self.output)
            self.check()
            with suppress(FileNotFoundError):  # it has gone meanwhile
                return self._replace()

    def _replace(self) -> None:
        if self.new.is_file():
            os.replace(self.new, self.output)
        elif not exchange(self.new, self.output):
            self._old.parent.mkdir(exist_ok=True)
            self.output.rename(self._old)
            try:
                self.new.rename(self.output)
            except BaseException:
                self._old.rename(self.output)
                raise


@contextmanager
def staged(output: Path, *, error: type[MobileVLMError], replaceable: Check) -> Iterator[Staged]:
    """A :class:`Staged` for ``output``, to be put in place by its method. Whatever happens, nothing half-written stays.

    Raises:
        MobileVLMError: of the kind ``error``: nothing can be written to ``output``, or the disk is full.
    """
    if output.name in ("", ".."):
        raise error(f"{output}: got a folder that exists, expected a new name")
    missing = [folder for folder in output.parents if not folder.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = ScratchFolder(output.parent, output.name, _rescue)
    except OSError as failure:
        _remove_empty(missing)
        raise error(f"{output}: {failure.strerror}, expected a place to write") from None
    place = Staged(output, scratch.path, error, replaceable)
    try:
        place.new.parent.mkdir()
        place.new.touch()  # finds names that the system refuses
        place.new.unlink()
        place.check()
        yield place
    except OSError as failure:
        if failure.errno == errno.ENOSPC:
            raise error(f"{output}: the disk is full, nothing was written") from None
        if str(failure.filename).startswith(str(scratch.path)):
            raise error(f"{output}: {failure.strerror}, expected a place to write") from None
        raise
    except MobileVLMError as failure:
        if str(place.new) not in str(failure):
            raise
        raise type(failure)(str(failure).replace(str(place.new), str(output))) from failure
    finally:
        place.restore()
        scratch.close()
        _remove_empty(missing)


@contextmanager
def atomic_file(
    path: Path, *, error: type[MobileVLMError] = OutputError, replaceable: Check | None = None
) -> Iterator[Path]:
    """A path to write to that becomes ``path`` at the end. A file that is there is replaced, if ``replaceable`` doesn't object.

    Raises:
        MobileVLMError: as :func:`staged`.
    """
    with staged(path, error=error, replaceable=replaceable or _any_file(error)) as place:
        yield place.new
        place.put()


@contextmanager
def atomic_folder(path: Path, *, error: type[MobileVLMError] = OutputError) -> Iterator[Path]:
    """An empty folder to fill that becomes ``path``, which doesn't exist, at the end.

    Raises:
        MobileVLMError: as :func:`staged`.
    """
    with staged(path, error=error, replaceable=new_only("folder", error)) as place:
        place.new.mkdir()
        yield place.new
        place.put()


def require_place(path: Path, *, error: type[MobileVLMError] = OutputError, replaceable: Check | None = None) -> None:
    """Raise what :func:`atomic_file` would raise: for work that ends in a file, before it begins."""
    with staged(path, error=error, replaceable=replaceable or _any_file(error)):
        pass


def new_only(noun: str, error: type[MobileVLMError] = OutputError) -> Check:
    """Nothing is replaced; ``noun`` is what errors call the output."""

    def refuse(path: Path) -> None:
        raise error(f"{path}: exists already, expected a new {noun}")

    return refuse


def recover(path: Path) -> None:
    """Give ``path`` back what a killed process had moved aside to replace it."""
    sweep(path.parent, path.name, _rescue)


def _any_file(error: type[MobileVLMError]) -> Check:
    def refuse(path: Path) -> None:
        if not path.is_file():
            raise error(f"{path}: exists and is no file, expected the name of a file to write")

    return refuse


def _rescue(stale: Path) -> None:
    with suppress(OSError):
        for old in (stale / "old").iterdir():
            rename_new(old, stale.parent / old.name)


def _follow_umask(new: Path) -> None:
    """Give ``new`` the rights that the system gives new files, whatever the library that wrote it asked for."""
    mode = stat.S_IMODE(new.parent.stat().st_mode)  # a folder that was made without asking for anything
    for path in (new, *(new.rglob("*") if new.is_dir() else ())):
        if path.is_dir():
            path.chmod(mode)
        elif not path.is_symlink() and path.stat().st_nlink == 1:  # else it belongs to another folder too
            path.chmod(mode & 0o666)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
