"""Zip archives from outside: members that are stored or deflated, and the errors of those that are damaged."""

from __future__ import annotations

import zipfile
import zlib

# What zipfile raises of an archive that is damaged, encrypted or lies about itself.
ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def plain_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The member ``name``, which can be read bit by bit: zipfile decompresses other methods in pieces of any size.

    Raises:
        KeyError: there is none.
        zipfile.BadZipFile: it is compressed by another method than deflate.
    """
    info = archive.getinfo(name)
    if info.compress_type not in _METHODS:
        raise zipfile.BadZipFile(f"{name}: compression method {info.compress_type}, not deflate")
    return info
