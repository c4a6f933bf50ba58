"""The memory that a phone needs to run a bundle."""

from __future__ import annotations

from mobilevlm_export.config import MobileVLMConfig


def memory_need(
    config: MobileVLMConfig,
    program_bytes: int,
    max_context: int,
    max_prefill: int,
    *,
    cache_bytes: int = 4,
    value_bytes: int = 4,
) -> dict[str, int]:
    """The bytes that a phone needs: the program, the KV cache, the widest activations of either half, and the sum.

    A cached value takes ``cache_bytes`` and an activation ``value_bytes``, float32 by default. XNNPACK packs weights into
    separate memory while the file stays mapped, so the program counts once.
    """
    llm, vision = config.llm, config.vision
    kv_cache = llm.kv_cache_bytes(max_context, cache_bytes)
    prefill = value_bytes * (max_prefill * (4 * llm.hidden_size + 3 * llm.intermediate_size) + llm.vocab_size)
    attention = value_bytes * 2 * vision.num_heads * vision.num_patches**2
    encode = attention + value_bytes * vision.num_patches * (4 * vision.hidden_size + 2 * vision.intermediate_size)
    activations = max(prefill, encode)
    parts = {"program": program_bytes, "kv_cache": kv_cache, "activations": activations}
    return {"bytes": sum(parts.values()), **parts}
