"""Data: the names of weights in the published checkpoint and the model's parameters that they map to."""

from __future__ import annotations

import re
from collections.abc import Collection

from mobilevlm_export.config import MobileVLMConfig

TOWER = "model.vision_tower.vision_tower.vision_model."

_TOWER_PARTS = {
    "embeddings.class_embedding": "embeddings.class_embedding",
    "embeddings.patch_embedding.weight": "embeddings.patch_embedding.weight",
    "embeddings.position_embedding.weight": "embeddings.position_embedding",
    "pre_layrnorm.weight": "pre_layrnorm.weight",
    "pre_layrnorm.bias": "pre_layrnorm.bias",
}
_TOWER_LAYER = [
    f"{part}.{kind}"
    for part in (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "layer_norm1",
        "layer_norm2",
        "mlp.fc1",
        "mlp.fc2",
    )
    for kind in ("weight", "bias")
]
_PROJECTOR_PARTS = {
    "model.mm_projector.mlp.mlp.0.weight": "fc1.weight",
    "model.mm_projector.mlp.mlp.0.bias": "fc1.bias",
    "model.mm_projector.mlp.mlp.2.weight": "fc2.weight",
    "model.mm_projector.mlp.mlp.2.bias": "fc2.bias",
    "model.mm_projector.peg.peg.0.weight": "peg.weight",
    "model.mm_projector.peg.peg.0.bias": "peg.bias",
}
_LLAMA_LAYER = (
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
)
# Buffers in old checkpoints whose values are computed anyway.
_IGNORED = re.compile(r"(^|\.)(rotary_emb\.inv_freq|position_ids)$")


# The weights whose names reveal the prefix of all names of the tower, and of the language model.
_IN_TOWER, _IN_MODEL = "embeddings.class_embedding", "model.embed_tokens.weight"


def published_spelling(keys: Collection[str]) -> dict[str, str]:
    """Published key → the one of ``keys`` that it has in the file.

    All names may have a wrapper's prefix such as ``module.``; transformers 5 omits ``vision_model.`` in the tower's names; a CLIP
    folder has the tower's weights only.
    """
    tower, model = _prefix(_IN_TOWER, keys), _prefix(_IN_MODEL, keys)
    spelled: dict[str, str] = {}
    for key in keys:
        if tower is not None and key.startswith(tower):
            spelled[TOWER + key.removeprefix(tower)] = key
        else:
            spelled[key.removeprefix(model or "")] = key
    return spelled


def _prefix(suffix: str, keys: Collection[str]) -> str | None:
    found = (key.removesuffix(suffix) for key in keys if key.endswith(suffix))
    return next((prefix for prefix in found if not prefix or prefix.endswith(".")), None)


def published_names(config: MobileVLMConfig) -> dict[str, str]:
    """Published key → parameter of :class:`MobileVLM`, for every parameter of the model."""
    names = {TOWER + key: f"vision_encoder.tower.{part}" for key, part in _TOWER_PARTS.items()}
    for layer in range(config.vision.num_run_layers):
        names |= {
            f"{TOWER}encoder.layers.{layer}.{part}": f"vision_encoder.tower.layers.{layer}.{part}"
            for part in _TOWER_LAYER
        }
    names |= {key: f"vision_encoder.projector.{part}" for key, part in _PROJECTOR_PARTS.items()}
    names["model.embed_tokens.weight"] = "token_embedding.weight"
    for layer in range(config.llm.num_layers):
        names |= {f"model.layers.{layer}.{part}": f"text_decoder.layers.{layer}.{part}" for part in _LLAMA_LAYER}
    names["model.norm.weight"] = "text_decoder.norm.weight"
    names["lm_head.weight"] = "text_decoder.lm_head.weight"
    return names


def never_run(config: MobileVLMConfig) -> dict[str, tuple[int, ...]]:
    """Published keys and shapes of the tower's layers after the selected hidden state: in the file, but never run."""
    width, mlp = config.vision.hidden_size, config.vision.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.vision.num_run_layers, config.vision.num_layers):
        for part in _TOWER_LAYER:
            bias = mlp if part == "mlp.fc1.bias" else width
            square = {"mlp.fc1.weight": (mlp, width), "mlp.fc2.weight": (width, mlp)}.get(part, (width, width))
            flat = part.endswith("bias") or part.startswith("layer_norm")
            shapes[f"{TOWER}encoder.layers.{layer}.{part}"] = (bias,) if flat else square
    for kind in ("weight", "bias"):
        shapes[f"{TOWER}post_layernorm.{kind}"] = (width,)
    return shapes


def is_ignored(key: str) -> bool:
    """Whether ``key`` is a buffer of an old checkpoint that the model doesn't need."""
    return bool(_IGNORED.search(key))
