"""Which limits apply to a recipe."""

from __future__ import annotations

import pytest

from mobilevlm_export.quantize.recipe import KNOBS, RECIPES
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.two_machines import STAGES


def test_the_decoders_limits_follow_its_coarser_scheme() -> None:
    assert thresholds.decoder_limits({"llm": "int4", "lm_head": "int8"}) == thresholds.DECODER["int4"]
    assert thresholds.decoder_limits({"llm": "fp32", "lm_head": "int8"}) == thresholds.DECODER["int8"]


def test_a_manifest_without_lm_head_uses_the_limits_of_llm() -> None:
    assert thresholds.decoder_limits({"llm": "int8"}) == thresholds.DECODER["int8"]


@pytest.mark.parametrize("knob", KNOBS)
def test_every_scheme_of_every_part_has_limits(knob: str) -> None:
    """Those of the stages, of the layers, and of two machines beside each other."""
    for scheme in KNOBS[knob]:
        recipe = RECIPES["fp32"].to_json() | {knob: scheme}
        assert set(thresholds.layer_limits(recipe)) == {"vision_encoder", "text_decoder"}
        assert all(thresholds.limits(recipe).values())
        assert len(thresholds.machine_limits(recipe)) == len(STAGES)
