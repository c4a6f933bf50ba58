"""Atomic renames: one that never replaces anything, and one that exchanges two paths."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
# Linux: renameat2's flags. macOS: renamex_np's.
_NOREPLACE, _EXCHANGE = (4, 2) if sys.platform == "darwin" else (1, 2)
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def rename_new(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, which must not exist.

    Raises:
        FileExistsError: ``target`` exists.
        OSError: the rename fails.
    """
    if _rename(source, target, _NOREPLACE):
        return
    if source.is_dir():
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        os.rename(source, target)
    else:
        os.link(source, target)
        os.unlink(source)


def exchange(one: Path, other: Path) -> bool:
    """Swap the two names atomically; False if the system or the file system doesn't support it.

    Raises:
        FileNotFoundError: one of them doesn't exist.
        OSError: the exchange fails.
    """
    return _rename(one, other, _EXCHANGE)


def _rename(source: Path, target: Path, flag: int) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(source), os.fsencode(target)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, ctypes.c_uint(flag))
        else:
            failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(flag))
    except AttributeError:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))
