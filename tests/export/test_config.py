"""Impossible sizes are rejected; presets equal the paper's."""

from __future__ import annotations

import pytest

from mobilevlm_export.config import VisionConfig, preset
from mobilevlm_export.errors import ConfigError


def test_an_odd_patch_grid_cannot_be_pooled() -> None:
    with pytest.raises(ConfigError, match="expected a multiple of twice the patch size"):
        VisionConfig(image_size=70, patch_size=14)


def test_no_such_preset() -> None:
    with pytest.raises(ConfigError, match=r"got '2b', expected one of 1\.7b, 3b, 7b"):
        preset("2b")
