"""How many multiplications and additions the model takes: what a machine's peak is compared with."""

from __future__ import annotations

from mobilevlm_export.config import MobileVLMConfig


def per_prefilled_token(config: MobileVLMConfig) -> int:
    """Of the decoder's linears, for one token; attention is left out, which is little at short lengths, and the head, which runs once."""
    llm = config.llm
    keys_and_values = 2 * llm.hidden_size * llm.num_kv_heads * llm.head_dim
    layer = 2 * llm.hidden_size**2 + keys_and_values + 3 * llm.hidden_size * llm.intermediate_size
    return 2 * llm.num_layers * layer


def per_image(config: MobileVLMConfig) -> int:
    """Of the tower that runs, with its attention, and of LDPv2's linears."""
    vision, width = config.vision, config.vision.hidden_size
    tokens = vision.num_patches + 1
    layer = tokens * (4 * width**2 + 2 * width * vision.intermediate_size) + 2 * tokens**2 * width
    patches = vision.num_patches * 3 * vision.patch_size**2 * width
    projector = vision.num_patches * (width + config.projector.hidden_size) * config.projector.hidden_size
    return 2 * (vision.num_run_layers * layer + patches + projector)
