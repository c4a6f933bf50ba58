"""Which limits a recipe is held to."""

from __future__ import annotations

from mobilevlm_host.parity import thresholds


def test_the_decoder_is_held_to_the_coarser_of_its_layers_and_its_head() -> None:
    assert thresholds.decoder_limits({"llm": "int4", "lm_head": "int8"}) == thresholds.DECODER["int4"]
    assert thresholds.decoder_limits({"llm": "fp32", "lm_head": "int8"}) == thresholds.DECODER["int8"]


def test_a_manifest_without_the_knob_lm_head_is_held_to_the_llms() -> None:
    assert thresholds.decoder_limits({"llm": "int8"}) == thresholds.DECODER["int8"]
