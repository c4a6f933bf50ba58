"""ExecuTorch's private parts, and the files of its package, that the kit uses."""

from __future__ import annotations

from mobilevlm_export.dependencies.private_api import PrivateApi, PrivateFile, PrivateSymbol

SEEN_IN = "1.5.1"
_BINDINGS = "executorch.extension.pybindings._C"
_SERIALIZE = "executorch.exir._serialize"


def _api(module: str, name: str, reason: str) -> PrivateApi:
    return PrivateApi("executorch", SEEN_IN, module, name, reason)


def _file(pattern: str, reason: str) -> PrivateFile:
    return PrivateFile("executorch", SEEN_IN, pattern, reason)


LOAD_PROGRAM = _api(_BINDINGS, "_load_program", "verifies a program's tables before an engine follows them")
VERIFICATION = _api(_BINDINGS, "Verification", "says how thoroughly a program is verified")
RESET_THREADPOOL = _api(_BINDINGS, "_unsafe_reset_threadpool", "sets how many CPU threads the engines use")
THREAD_COUNT = _api(_BINDINGS, "_threadpool_get_thread_count", "reports how many CPU threads the engines use")
FLATC_COMPILE = _api(f"{_SERIALIZE}._flatbuffer", "_flatc_compile", "writes a delegate's tables")
FLATC_DECOMPILE = _api(f"{_SERIALIZE}._flatbuffer", "_flatc_decompile", "reads a delegate's tables")
DESERIALIZE_PROGRAM = _api(
    f"{_SERIALIZE}._program", "deserialize_pte_binary", "reads a program to give it more outputs"
)
SERIALIZE_PROGRAM = _api(f"{_SERIALIZE}._program", "serialize_pte_binary", "writes a program with more outputs")
DELEGATE_HEADER = _api(
    "executorch.backends.xnnpack.serialization.xnnpack_graph_serialize",
    "XNNHeader",
    "finds the tables and weights in an XNNPACK delegate",
)

FLATC = _file("data/bin/flatc", "reads a program's tables")
PROGRAM_SCHEMA = _file("exir/_serialize/program.fbs", "describes a program's tables")
DELEGATE_SCHEMA = _file("backends/xnnpack/serialization/schema.fbs", "describes an XNNPACK delegate's tables")
LIBRARY = _file("lib/libexecutorch.so", "has the switch of XNNPACK's weights cache")
# The libraries are loaded without the Python modules around them: those import torch's compiler, which takes longer than an answer.
OPERATORS = (
    _file("extension/llm/custom_ops/*custom_ops_aot_lib.*", "holds the attention that programs call"),
    _file("kernels/quantized/*quantized_ops_aot_lib.*", "holds the quantized embedding that programs call"),
)
_XNNPACK_LIBRARY = _file("lib/libexecutorch_backend_xnnpack.so", "holds XNNPACK's weights caches")
_STRING = "RKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"  # const std::string&

SET_OPTION = PrivateSymbol(
    LIBRARY,
    "_ZN10executorch7runtime10set_optionEPKcNS0_4SpanINS0_13BackendOptionEEE",
    "switches XNNPACK's weights cache",
)
GET_BACKEND = PrivateSymbol(LIBRARY, "_ZN10executorch7runtime17get_backend_classEPKc", "finds the XNNPACK backend")
GET_WEIGHTS_CACHE = PrivateSymbol(
    _XNNPACK_LIBRARY,
    f"_ZN10executorch8backends7xnnpack21XnnpackBackendOptions27get_or_create_weights_cacheE{_STRING}",
    "makes the weights cache that the programs of a process share",
)
SET_CACHE_FILE = PrivateSymbol(
    _XNNPACK_LIBRARY,
    f"_ZN10executorch8backends7xnnpack8delegate15XNNWeightsCache21set_packed_cache_pathE{_STRING}",
    "gives a weights cache its file",
)
RELEASE = PrivateSymbol(
    _XNNPACK_LIBRARY,
    "_ZNSt16_Sp_counted_baseILN9__gnu_cxx12_Lock_policyE2EE10_M_releaseEv",
    "ends a reference to a weights cache",
)
