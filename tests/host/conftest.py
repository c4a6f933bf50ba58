"""What the tests of both sides of the Android app's seam share."""

from __future__ import annotations

from pathlib import Path

import pytest
from seam import make_seam

from mobilevlm_export.bundle.read import Bundle


@pytest.fixture(scope="session")
def seam(demo_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what Python's runner says of the demo. Tests may write only ``capture.zip`` there."""
    return make_seam(demo_bundle, tmp_path_factory.mktemp("seam"))
