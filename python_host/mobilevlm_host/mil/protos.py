"""Core ML's generated protobuf classes, loaded without importing Core ML Tools, which takes ten seconds and logs a lot."""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mobilevlm_export.errors import MilError

_ALONE = "_coremltools_proto"


def model_pb2() -> ModuleType:
    """The module ``coremltools.proto.Model_pb2``.

    Raises:
        MilError: Core ML Tools isn't installed.
    """
    if "coremltools.proto" in sys.modules:
        return import_module("coremltools.proto.Model_pb2")
    if _ALONE not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise MilError("coremltools: not installed, required to read Core ML models")
        folder = Path(found.submodule_search_locations[0]) / "proto"
        spec = importlib.util.spec_from_file_location(
            _ALONE, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        sys.modules[_ALONE] = importlib.util.module_from_spec(spec)
    return import_module(f"{_ALONE}.Model_pb2")
