"""What the emulated tests need: the tools (skipped without them, but not in CI) and the demo's bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobilevlm_export.bundle import Bundle
from mobilevlm_export.errors import ParityError
from mobilevlm_export.hub import DEMO_CHECKPOINT
from mobilevlm_export.pipeline import ExportJob, export_bundle
from mobilevlm_export.quantize import RECIPES
from mobilevlm_host.arm64 import toolchain
from mobilevlm_host.golden import add_golden


@pytest.fixture(scope="session")
def run_methods() -> Path:
    """The ARM program; asking for it is asking for the tools."""
    try:
        toolchain.emulator()
        return toolchain.build_methods()
    except ParityError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """The demo in int4, with its golden records."""
    output = tmp_path_factory.mktemp("demo") / "demo.mvlm"
    with export_bundle(ExportJob(DEMO_CHECKPOINT, output, RECIPES["int4"]), complete=add_golden) as bundle:
        yield bundle
