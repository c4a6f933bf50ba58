"""What the emulated tests need: the tools (skipped without them, but not in CI)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobilevlm_export.errors import ParityError
from mobilevlm_host.arm64 import toolchain


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
