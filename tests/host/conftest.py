"""What the host's tests share: what the demo says by Python's runner, and the tools to run other engines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from seam import make_seam, runnable_host

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import EngineError
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.arm64 import toolchain


@pytest.fixture(scope="session")
def seam(demo_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Python's runner says of the demo. Tests may write only ``capture.zip`` there."""
    return make_seam(demo_bundle, tmp_path_factory.mktemp("seam"))


@pytest.fixture(scope="session")
def run_methods() -> Path:
    """The ARM program; asking for it is asking for the tools. Without them the test is skipped, but not in CI."""
    try:
        toolchain.emulator()
        return toolchain.build_methods()
    except EngineError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def x86_64() -> AndroidHost:
    """Android's engine in a JVM; asking for it is asking for the tools."""
    return runnable_host(AndroidHost())


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser. Without it the test is skipped, but not in CI."""
    found = shutil.which("chromium")
    if not found:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing, and with CI=true no test is skipped")
        pytest.skip("chromium is missing: scripts/apt_packages.sh installs it")
    return found
