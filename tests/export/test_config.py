"""Impossible sizes are rejected; presets equal the paper's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilevlm_export.config import MobileVLMConfig, preset
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.job import default_context, default_prefill


@pytest.mark.parametrize(("projector_type", "name"), [("ldpnetv2", "LDPv2"), ("ldpnet", "LDP")])
def test_an_odd_patch_grid_cannot_be_pooled(projector_type: str, name: str) -> None:
    tiny = MobileVLMConfig.tiny(projector_type)
    with pytest.raises(ConfigError, match=rf"expected a multiple of twice the patch size \(28\), because {name} pools"):
        replace(tiny, vision=replace(tiny.vision, image_size=70))


def test_an_mlp_takes_any_patch_grid() -> None:
    tiny = MobileVLMConfig.tiny("mlp2x_gelu")
    assert replace(tiny, vision=replace(tiny.vision, image_size=70)).image_tokens == 25
    with pytest.raises(ConfigError, match=r"image_size: got 71, expected a multiple of the patch size \(14\)"):
        replace(tiny.vision, image_size=71)


@pytest.mark.parametrize(
    ("size", "tokens", "context", "prefill"),
    [("1.7b", 144, 1024, 512), ("v1-3b", 144, 1024, 512), ("llava-1.5-7b", 576, 1456, 576)],
)
def test_default_lengths_fit_the_image_and_as_much_text(size: str, tokens: int, context: int, prefill: int) -> None:
    config = preset(size)
    assert config.image_tokens == tokens
    assert default_context(config) == context
    assert default_prefill(config, context) == prefill
    assert (default_context(MobileVLMConfig.tiny()), default_prefill(MobileVLMConfig.tiny(), 256)) == (256, 256)


def test_no_such_preset() -> None:
    with pytest.raises(ConfigError, match=r"got '2b', expected one of 1\.7b, 3b, 7b"):
        preset("2b")
