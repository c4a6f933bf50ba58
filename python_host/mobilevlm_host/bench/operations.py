"""The cost of answering, computed from a bundle's manifest: operations of each kind, and bytes that must be read.

A multiplication and an addition count as two operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mobilevlm_export.bundle.manifest import Manifest
from mobilevlm_export.config import LlamaConfig, MobileVLMConfig
from mobilevlm_export.model.projector import make_projector

_CACHED_BYTES = 4  # per number in ExecuTorch's KV cache


@dataclass(frozen=True)
class Work:
    """Operations of linears, which recipes quantize; float32 operations of attention and convolutions; and bytes read once."""

    linear_ops: int
    float_ops: int
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        """The sum of both."""
        return Work(self.linear_ops + other.linear_ops, self.float_ops + other.float_ops, self.bytes + other.bytes)


def vision_encoder_work(manifest: Manifest) -> Work:
    """The work for one image: CLIP's tower (the layers that are run) and the projector."""
    ops = vision_encoder_ops(manifest.config)
    return Work(ops.linear_ops, ops.float_ops, _weights(manifest, "vision_encoder"))


def text_decoder_work(manifest: Manifest, tokens: int, before: int) -> Work:
    """The work for ``tokens`` in one call after ``before`` in the KV cache; reads all weights and the cache up to the last token once."""
    ops = text_decoder_ops(manifest.config.llm, tokens, before)
    cached = manifest.config.llm.kv_cache_bytes(before + tokens, _CACHED_BYTES)
    return Work(ops.linear_ops, ops.float_ops, _weights(manifest, "text_decoder") + cached)


def vision_encoder_ops(config: MobileVLMConfig) -> Work:
    """Like :func:`vision_encoder_work`, without bytes."""
    vision = config.vision
    patches, tokens, side = vision.num_patches, vision.num_patches + 1, vision.hidden_size
    layer = 4 * side * side + 2 * side * vision.intermediate_size  # q, k, v, out; fc1, fc2
    linears, convolutions = _projector_products(config)
    linear = vision.num_run_layers * tokens * layer + linears
    attention = vision.num_run_layers * 2 * tokens * tokens * side
    patch_embedding = patches * 3 * vision.patch_size**2 * side
    return Work(2 * linear, 2 * (attention + patch_embedding + convolutions))


def _projector_products(config: MobileVLMConfig) -> tuple[int, int]:
    """The multiplications of linears and of convolutions for one image, counted in a projector that has no weights."""
    with torch.device("meta"):
        projector = make_projector(config.projector)
        features = torch.empty(1, config.vision.num_patches, config.vision.hidden_size)
    counts = {nn.Linear: 0, nn.Conv2d: 0}

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(module, nn.Linear | nn.Conv2d):
            counts[type(module)] += output.numel() * module.weight[0].numel()

    for module in projector.modules():
        module.register_forward_hook(count)
    projector(features)
    return counts[nn.Linear], counts[nn.Conv2d]


def text_decoder_ops(config: LlamaConfig, tokens: int, before: int) -> Work:
    """Like :func:`text_decoder_work`, without bytes. Tokens attend to those before and to themselves; the head reads the last."""
    kv_width = config.num_kv_heads * config.head_dim
    layer = 2 * config.hidden_size * (config.hidden_size + kv_width) + 3 * config.hidden_size * config.intermediate_size
    linear = config.num_layers * tokens * layer + config.hidden_size * config.vocab_size
    seen = tokens * before + tokens * (tokens + 1) // 2
    return Work(2 * linear, 2 * config.num_layers * 2 * seen * config.hidden_size)


def _weights(manifest: Manifest, method: str) -> int:
    made: dict[str, Any] = manifest.values["artifacts"]["executorch"]["methods"]
    return int(made[method]["delegate_bytes"])


def per_prefilled_token(config: MobileVLMConfig) -> int:
    """For one token, in the decoder's linears. Omits attention, which is small at short lengths, and the head, which runs once."""
    head = 2 * config.llm.hidden_size * config.llm.vocab_size
    return text_decoder_ops(config.llm, 1, 0).linear_ops - head


def per_image(config: MobileVLMConfig) -> int:
    """For one image, in the tower's layers that run, with attention, and in the projector."""
    work = vision_encoder_ops(config)
    return work.linear_ops + work.float_ops
