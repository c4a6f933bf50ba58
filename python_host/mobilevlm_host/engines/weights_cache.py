"""XNNPACK's weights cache: on in the engines of phones, off in ExecuTorch's package for Python unless it is switched on here."""

from __future__ import annotations

import ctypes

from mobilevlm_export.dependencies.executorch_private import SET_OPTION
from mobilevlm_export.errors import RunnerError
from mobilevlm_host.engines.native_output import runtime_output_hidden
from mobilevlm_host.engines.operators import register_operators

_BACKEND, _OPTION = b"XnnpackBackend", b"weight_cache_enabled"


class _Value(ctypes.Union):
    _fields_ = (("flag", ctypes.c_bool), ("number", ctypes.c_int), ("text", ctypes.c_char * 256))


class _Option(ctypes.Structure):
    """BackendOption: a key, and a std::variant of a bool, an int or a text (``kind`` 0, 1 or 2)."""

    _fields_ = (("key", ctypes.c_char * 64), ("value", _Value), ("kind", ctypes.c_uint8))


class _Span(ctypes.Structure):
    _fields_ = (("data", ctypes.POINTER(_Option)), ("size", ctypes.c_size_t))


def use_weights_cache(on: bool = True) -> None:
    """Let this process compile the programs that it loads from now on with XNNPACK's weights cache, as phones do, or without it.

    With the cache, a delegate's constants are freed once it is compiled: one that reads them in place gives garbage or
    crashes the process. Without it they stay.

    Raises:
        DependencyError: this ExecuTorch has no such switch.
        RunnerError: it has another one.
    """
    with runtime_output_hidden():
        register_operators()
    set_option = SET_OPTION.load(ctypes.c_uint32, ctypes.c_char_p, _Span)
    option = _Option(key=_OPTION, value=_Value(flag=on), kind=0)
    failed = set_option(_BACKEND, _Span(ctypes.pointer(option), 1))
    if failed:
        library = SET_OPTION.file.find()
        raise RunnerError(f"{library}: got error {failed:#x} from set_option, expected {_OPTION.decode()} to be set")
