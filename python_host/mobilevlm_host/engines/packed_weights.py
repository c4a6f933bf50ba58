"""Let XNNPACK keep the weights that it packs in a file, which later loads map instead of packing them into memory of their own.

Mapping the file takes a tenth of the time of packing, and all processes share its pages. ExecuTorch's own way to it is an option
of C++'s ``Module::load``, which its package for Python doesn't offer. But a program without that option uses the one weights cache
that belongs to no file, and a cache that has just been made can be given a file: that is done here with exported C++ functions
(``mobilevlm_export.dependencies.executorch_private``).

The data itself has no checksum, a file is changed in place, and readers lock it if they can write to it:
:mod:`mobilevlm_host.engines.packed_files` has what follows from that. docs/explanation/weight-cache.md has the figures.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from mobilevlm_export.dependencies.executorch_private import (
    GET_BACKEND,
    GET_WEIGHTS_CACHE,
    RELEASE,
    SEEN_IN,
    SET_CACHE_FILE,
)
from mobilevlm_export.errors import DependencyError, RunnerError
from mobilevlm_host.engines.native_output import runtime_output_hidden
from mobilevlm_host.engines.weights_cache import use_weights_cache

# Where it was seen to work: elsewhere C++'s std::string, calls or kernels may differ.
_SEEN_ON = {("linux", "x86_64"), ("linux", "aarch64")}
_BACKEND_NAME = b"XnnpackBackend"
_OPTIONS_AT = 8  # bytes: the backend's options follow its table of virtual functions
_COUNT_AT = 8  # bytes: the number of owners in libstdc++'s block beside a shared object
# Of the calling thread. Without the first, root can't open a read-only file for writing and so doesn't lock it; without the second
# and with a limit of no locked memory, the program's own weights aren't read in only to be left unused.
_CAP_DAC_OVERRIDE, _CAP_IPC_LOCK = 1, 14
_CAPABILITY_VERSION = 0x20080522
_file_in_use: Path | None = None  # of the latest cache that was given one


class _String(ctypes.Structure):
    """std::string, to be read only."""

    _fields_ = (("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("room", ctypes.c_char * 16))


class _SharedCache(ctypes.Structure):
    """Result<std::shared_ptr<XNNWeightsCache>>: the pointer and its block, or an error; and which of them."""

    _fields_ = (("cache", ctypes.c_void_p), ("block", ctypes.c_void_p), ("is_value", ctypes.c_bool))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("thread", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def is_supported() -> bool:
    """Whether this machine and its ExecuTorch are ones that :func:`weights_in` is known to work with."""
    if (sys.platform, platform.machine()) not in _SEEN_ON or version("executorch").partition("+")[0] != SEEN_IN:
        return False
    try:
        for symbol in (GET_BACKEND, GET_WEIGHTS_CACHE, SET_CACHE_FILE, RELEASE):
            symbol.load(None)
    except DependencyError:
        return False
    return True


@contextmanager
def weights_in(file: Path) -> Iterator[None]:
    """Methods of a program that are loaded within this context keep their packed weights in ``file``, which is written if missing.

    A complete file must be read-only: then it is mapped and neither changed nor locked.

    Raises:
        DependencyError, RunnerError: ExecuTorch doesn't have what this needs, or another program of this process has its weights in
            another file, of which a process can have one.
    """
    global _file_in_use
    with runtime_output_hidden():  # which other threads that load a program wait for
        use_weights_cache(True)
        try:
            shared = _cache_without_file()
            try:
                if ctypes.c_int.from_address(shared.block + _COUNT_AT).value == 1:
                    _set_file(shared.cache, file)
                    _file_in_use = file
                elif file != _file_in_use:
                    raise RunnerError(f"{file}: got a process with its weights in {_file_in_use}, expected one file")
                with _unprivileged():
                    yield
            finally:
                RELEASE.load(None, ctypes.c_void_p)(shared.block)
        finally:
            use_weights_cache(False)


def _cache_without_file() -> _SharedCache:
    """The weights cache of programs that don't ask for a file: one that a loaded program uses, or a new one."""
    backend = GET_BACKEND.load(ctypes.c_void_p, ctypes.c_char_p)(_BACKEND_NAME)
    if not backend:
        raise RunnerError(f"{GET_BACKEND.file.find()}: got no XNNPACK, expected it as in {SEEN_IN}")
    get = GET_WEIGHTS_CACHE.load(_SharedCache, ctypes.c_void_p, ctypes.POINTER(_String))
    shared: _SharedCache = get(backend + _OPTIONS_AT, ctypes.byref(_String(b"", 0)))
    if not shared.is_value or not shared.cache:
        raise RunnerError(f"{GET_WEIGHTS_CACHE.file.find()}: got no weights cache, expected one as in {SEEN_IN}")
    return shared


def _set_file(cache: int, file: Path) -> None:
    path = os.fsencode(file)
    SET_CACHE_FILE.load(None, ctypes.c_void_p, ctypes.POINTER(_String))(cache, ctypes.byref(_String(path, len(path))))


@contextmanager
def _unprivileged() -> Iterator[None]:
    """Let this thread neither write to read-only files nor lock memory, whoever it runs as."""
    library = ctypes.CDLL(None)
    header, sets = _CapabilityHeader(_CAPABILITY_VERSION, 0), (_Capabilities * 2)()
    is_known = library.capget(ctypes.byref(header), sets) == 0
    before, (soft, hard) = sets[0].effective, resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if is_known:
        sets[0].effective = before & ~(1 << _CAP_DAC_OVERRIDE | 1 << _CAP_IPC_LOCK)
        library.capset(ctypes.byref(header), sets)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
        if is_known:
            sets[0].effective = before
            library.capset(ctypes.byref(header), sets)
