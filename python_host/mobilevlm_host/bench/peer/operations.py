"""How many multiplications and additions the model takes: what a machine's peak is compared with."""

from __future__ import annotations

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_host.bench.operations import text_decoder_ops, vision_encoder_ops


def per_prefilled_token(config: MobileVLMConfig) -> int:
    """Of the decoder's linears, for one token; attention is left out, which is little at short lengths, and the head, which runs once."""
    head = 2 * config.llm.hidden_size * config.llm.vocab_size
    return text_decoder_ops(config.llm, 1, 0).linear_ops - head


def per_image(config: MobileVLMConfig) -> int:
    """Of the tower that runs, with its attention, and of LDPv2."""
    work = vision_encoder_ops(config)
    return work.linear_ops + work.float_ops
