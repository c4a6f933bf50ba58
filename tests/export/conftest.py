"""Fixtures of the export package's tests."""

from __future__ import annotations

import pytest

from mobilevlm_export.config import MobileVLMConfig


@pytest.fixture
def tiny_config() -> MobileVLMConfig:
    return MobileVLMConfig.tiny()
