"""How much memory a phone needs to run a bundle."""

from __future__ import annotations

from mobilevlm_export.config import MobileVLMConfig


def memory_need(config: MobileVLMConfig, program_bytes: int, max_context: int, max_prefill: int) -> dict[str, int]:
    """Bytes a phone needs: the program, the float32 KV cache, and the widest activations of either half, with the sum.

    XNNPACK packs weights into memory of its own while the file stays mapped, so the program counts once.
    """
    llm, vision = config.llm, config.vision
    kv_cache = 2 * 4 * llm.num_layers * max_context * llm.num_kv_heads * llm.head_dim
    prefill = 4 * max_prefill * (4 * llm.hidden_size + 3 * llm.intermediate_size) + 4 * llm.vocab_size
    attention = 4 * 2 * vision.num_heads * vision.num_patches**2
    encode = attention + 4 * vision.num_patches * (4 * vision.hidden_size + 2 * vision.intermediate_size)
    activations = max(prefill, encode)
    parts = {"program": program_bytes, "kv_cache": kv_cache, "activations": activations}
    return {"bytes": sum(parts.values()), **parts}
