"""Zip archives from untrusted sources: only stored or deflated members, and the errors that damaged ones cause."""

from __future__ import annotations

import zipfile
import zlib

# What zipfile raises for an archive that is damaged, encrypted or inconsistent.
ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def plain_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The member ``name``, stored or deflated. Only these can be read in bounded pieces with zipfile.

    Raises:
        KeyError: there is no such member.
        zipfile.BadZipFile: it is compressed with another method.
    """
    info = archive.getinfo(name)
    if info.compress_type not in _METHODS:
        raise zipfile.BadZipFile(f"{name}: compression method {info.compress_type}, not deflate")
    return info
