"""The demo model, the bundle of it and a few samples: made once for all tests of parity."""

from __future__ import annotations

import pytest
from noise import noise
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.model import MobileVLM
from mobilevlm_host.parity.check import default_samples
from mobilevlm_host.parity.run_sample import Sample


@pytest.fixture(scope="session")
def model() -> MobileVLM:
    return load_checkpoint(DEMO_CHECKPOINT)


@pytest.fixture(scope="session")
def bundle(demo_bundle: Bundle) -> Bundle:
    return demo_bundle


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """Two scenes with a question each, and a wide picture, which is padded and shrunk."""
    wide = noise(60, 30).resize((600, 300), Image.Resampling.NEAREST)
    return [*default_samples()[:8:7], Sample("a wide picture", wide, "Describe the image.")]
