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
_PROJECTOR = "model.mm_projector"
_LDPV2_MODULES = {"mlp.mlp.0": "fc1", "mlp.mlp.2": "fc2", "peg.peg.0": "peg"}
_LDP_MODULES = {"model.mlp.1": "fc1", "model.mlp.3": "fc2"}
# Inside an inverted residual block.
_LDP_BLOCK = {
    "0.0": "depthwise",
    "0.1": "norm1",
    "1.fc1": "excite.fc1",
    "1.fc2": "excite.fc2",
    "2.0": "project",
    "2.1": "norm2",
}
_LDP_BLOCKS = {"model.mb_block.1.block": "mix", "model.mb_block.2.block": "reduce"}
_NO_BIAS = ("depthwise", "project")
_LDP_NORM = re.compile(r"mb_block\.\d\.block\.[02]\.1\.")
# Linears that are published as 1 × 1 convolutions.
_CONVOLUTIONS = re.compile(r"model\.mm_projector\.model\.mb_block\.\d\.block\.(1\.fc[12]|2\.0)\.weight")
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
# Names in transformers' own layout of LLaVA, of versions 4 and 5.
_TRANSFORMERS = (
    (re.compile(r"(^|\.)(language_model\.model|model\.language_model)\."), r"\1model."),
    (re.compile(r"(^|\.)language_model\.lm_head\."), r"\1lm_head."),
    (re.compile(r"(^|\.)(?:model\.)?multi_modal_projector\.linear_1\."), r"\1model.mm_projector.0."),
    (re.compile(r"(^|\.)(?:model\.)?multi_modal_projector\.linear_2\."), r"\1model.mm_projector.2."),
)
# The weights whose names reveal the prefix of all names of the tower, and of the language model.
_IN_TOWER, _IN_MODEL = "embeddings.class_embedding", "model.embed_tokens.weight"


def published_spelling(keys: Collection[str]) -> dict[str, str]:
    """Published key → the one of ``keys`` that it has in the file.

    All names may have a wrapper's prefix such as ``module.``, or be those of transformers' LLaVA; transformers 5 omits
    ``vision_model.`` in the tower's names; a CLIP folder has the tower's weights only.
    """
    renamed = {_without_transformers(key): key for key in keys}
    if len(renamed) < len(keys):  # a file with both layouts is neither: none of its names may hide another
        renamed = {key: key for key in keys}
    tower, model = _prefix(_IN_TOWER, renamed), _prefix(_IN_MODEL, renamed)
    spelled: dict[str, str] = {}
    for key, in_file in renamed.items():
        if tower is not None and key.startswith(tower):
            spelled[TOWER + key.removeprefix(tower)] = in_file
        else:
            spelled[key.removeprefix(model or "")] = in_file
    return spelled


def _without_transformers(key: str) -> str:
    for pattern, published in _TRANSFORMERS:
        key = pattern.sub(published, key)
    return key


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
    names |= _projector_names(config)
    names["model.embed_tokens.weight"] = "token_embedding.weight"
    for layer in range(config.llm.num_layers):
        names |= {f"model.layers.{layer}.{part}": f"text_decoder.layers.{layer}.{part}" for part in _LLAMA_LAYER}
    names["model.norm.weight"] = "text_decoder.norm.weight"
    names["lm_head.weight"] = "text_decoder.lm_head.weight"
    return names


def _projector_names(config: MobileVLMConfig) -> dict[str, str]:
    kind = config.projector.kind
    if kind.name == "LDPv2":
        modules = _LDPV2_MODULES
    elif kind.name == "LDP":
        modules = _LDP_MODULES | {
            f"{block}.{part}": f"{name}.{module}"
            for block, name in _LDP_BLOCKS.items()
            for part, module in _LDP_BLOCK.items()
        }
    elif config.projector.type == "linear":
        modules = {"": "linears.0"}
    else:  # GELU has no weights: every other name is a linear's
        modules = {str(2 * at): f"linears.{at}" for at in range(kind.linears)}
    return {
        ".".join(filter(None, (_PROJECTOR, published, each))): f"vision_encoder.projector.{module}.{each}"
        for published, module in modules.items()
        for each in ("weight", "bias")
        if each == "weight" or not module.endswith(_NO_BIAS)
    }


def published_shape(key: str, shape: Collection[int]) -> tuple[int, ...]:
    """The shape in the file of the parameter with ``shape`` that is published as ``key``: linears may be 1 × 1 convolutions."""
    return (*shape, 1, 1) if _CONVOLUTIONS.fullmatch(key) else tuple(shape)


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


def is_norm(key: str) -> bool:
    """Whether ``key`` is the gain or bias of a norm."""
    return "norm" in key or bool(_LDP_NORM.search(key))
