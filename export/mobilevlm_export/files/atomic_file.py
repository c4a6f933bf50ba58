"""Write files and folders completely or not at all.

They are written in a hidden folder next to their destination and renamed at the end. Whether the destination may be written is
checked before the work and again when renaming, so nothing that appeared in the meantime is replaced.
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

# Called with an existing path; raises an error unless it may be replaced.
Check = Callable[[Path], None]


class Staged:
    """A file or folder that will become ``output``; ``new`` is the path to write it to."""

    def __init__(self, output: Path, folder: Path, error: type[MobileVLMError], replaceable: Check) -> None:
        self.output, self.new = output, folder / "new" / output.name
        self._old, self._withdrawn = folder / "old" / output.name, folder / "withdrawn"
        self._error, self._replaceable = error, replaceable

    def check(self) -> None:
        """Raise an error if ``output`` exists and may not be replaced."""
        if self.output.is_symlink() and not self.output.exists():
            raise self._error(f"{self.output}: got a broken link, expected a path that can be written")
        if os.path.lexists(self.output):
            self._replaceable(self.output)

    def withdraw(self) -> None:
        """Move the current ``output`` aside for :meth:`put` to replace; it is restored if that is never reached."""
        if os.path.lexists(self.output):
            self.check()
            self.output.rename(self._withdrawn)

    def restore(self) -> None:
        """Move back what was withdrawn, unless ``output`` exists again."""
        with suppress(OSError):
            rename_new(self._withdrawn, self.output)

    def put(self) -> None:
        """Rename ``new`` to ``output``; the previous ``output`` is deleted with the hidden folder."""
        _follow_umask(self.new)
        while True:
            with suppress(FileExistsError):
                return rename_new(self.new, self.output)
            self.check()
            with suppress(FileNotFoundError):  # deleted in the meantime
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
    """A :class:`Staged` for ``output``; its ``put`` moves it into place. Nothing incomplete is left behind, whatever happens.

    Raises:
        MobileVLMError: of class ``error``: ``output`` can't be written, or the disk is full.
    """
    if output.name in ("", ".."):
        raise error(f"{output}: got a folder that exists, expected a new name")
    missing = [folder for folder in output.parents if not folder.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = ScratchFolder(output.parent, output.name, _rescue)
    except OSError as failure:
        _remove_empty(missing)
        raise error(f"{output}: {failure.strerror}, expected a path that can be written") from None
    place = Staged(output, scratch.path, error, replaceable)
    try:
        place.new.parent.mkdir()
        place.new.touch()  # detects names that the system rejects
        place.new.unlink()
        place.check()
        yield place
    except OSError as failure:
        if failure.errno == errno.ENOSPC:
            raise error(f"{output}: the disk is full, nothing was written") from None
        if str(failure.filename).startswith(str(scratch.path)):
            raise error(f"{output}: {failure.strerror}, expected a path that can be written") from None
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
    """A temporary path that becomes ``path`` at the end. An existing file is replaced unless ``replaceable`` raises an error.

    Raises:
        MobileVLMError: as :func:`staged`.
    """
    with staged(path, error=error, replaceable=replaceable or _any_file(error)) as place:
        yield place.new
        place.put()


@contextmanager
def atomic_folder(path: Path, *, error: type[MobileVLMError] = OutputError) -> Iterator[Path]:
    """An empty temporary folder that becomes ``path``, which must not exist, at the end.

    Raises:
        MobileVLMError: as :func:`staged`.
    """
    with staged(path, error=error, replaceable=new_only("folder", error)) as place:
        place.new.mkdir()
        yield place.new
        place.put()


def require_place(path: Path, *, error: type[MobileVLMError] = OutputError, replaceable: Check | None = None) -> None:
    """Raise the error that :func:`atomic_file` would raise. Call it before the work that ends in the file."""
    with staged(path, error=error, replaceable=replaceable or _any_file(error)):
        pass


def new_only(noun: str, error: type[MobileVLMError] = OutputError) -> Check:
    """A check that allows no replacement; errors call the output ``noun``."""

    def refuse(path: Path) -> None:
        raise error(f"{path}: already exists, expected a new {noun}")

    return refuse


def recover(path: Path) -> None:
    """Restore a ``path`` that a killed process had moved aside to replace it."""
    sweep(path.parent, path.name, _rescue)


def _any_file(error: type[MobileVLMError]) -> Check:
    def refuse(path: Path) -> None:
        if not path.is_file():
            raise error(f"{path}: exists and is not a file, expected the name of a file to write")

    return refuse


def _rescue(stale: Path) -> None:
    with suppress(OSError):
        for old in (stale / "old").iterdir():
            rename_new(old, stale.parent / old.name)


def _follow_umask(new: Path) -> None:
    """Give ``new`` the default permissions of new files, whatever the library that wrote it has set."""
    mode = stat.S_IMODE(new.parent.stat().st_mode)  # a folder created with default permissions
    for path in (new, *(new.rglob("*") if new.is_dir() else ())):
        if path.is_dir():
            path.chmod(mode)
        elif not path.is_symlink() and path.stat().st_nlink == 1:  # otherwise it belongs to another folder too
            path.chmod(mode & 0o666)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
