"""Describe a checkpoint, and what a bundle of it would need, from its configuration and its weights' headers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle.memory import memory_need
from mobilevlm_export.checkpoint.key_map import TOWER, is_ignored
from mobilevlm_export.checkpoint.weight_files import open_weights
from mobilevlm_export.job import default_context, default_prefill
from mobilevlm_export.progress import megabytes
from mobilevlm_export.published_config import read_config
from mobilevlm_export.quantize.recipe import RECIPES, WEIGHT_BYTES, Recipe

# The knob of a recipe that sets each part.
_KNOBS = {
    "vision_encoder": "vision",
    "projector": "projector",
    "token_embedding": "embedding",
    "text_decoder": "llm",
    "lm_head": "lm_head",
}


@dataclass(frozen=True)
class Inspection:
    """Sizes in bytes; ``bundle_bytes`` and ``memory_bytes`` are estimates by recipe, at the default context."""

    path: str
    form: str
    config: dict[str, Any]
    image_tokens: int
    parameters: dict[str, int]
    dtypes: dict[str, int]
    bundle_bytes: dict[str, int]
    memory_bytes: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for a table."""
        config = self.config
        vision = config["vision_config"]
        total = sum(self.parameters.values())
        return [
            ("weights", f"{self.form}, " + ", ".join(f"{count} tensors {name}" for name, count in self.dtypes.items())),
            (
                "vision encoder",
                f"{vision['image_size']} px, patch {vision['patch_size']}, {vision['hidden_size']} wide, "
                f"{vision['num_hidden_layers']} layers → {self.image_tokens} image tokens",
            ),
            (
                "text decoder",
                f"{config['hidden_size']} wide, {config['num_hidden_layers']} layers, {config['num_attention_heads']} heads, "
                f"{config['vocab_size']} pieces, context {config['max_position_embeddings']}",
            ),
            *((f"parameters: {part}", f"{count:,}") for part, count in self.parameters.items()),
            ("parameters: all", f"{total:,}"),
            *((f"bundle, recipe {name}", f"about {megabytes(size)}") for name, size in self.bundle_bytes.items()),
            *((f"memory, recipe {name}", f"about {megabytes(size)}") for name, size in self.memory_bytes.items()),
        ]


def inspect_checkpoint(folder: Path, *, vision_tower: Path | None = None) -> Inspection:
    """Read the configuration and the weights' headers in ``folder``; nothing is loaded.

    Raises:
        CheckpointError: weights are missing or damaged.
        ConfigError: ``config.json`` is malformed or of a model that the kit doesn't support.
    """
    config = read_config(folder, vision_tower)
    weights = open_weights(folder)
    parameters: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    tower = open_weights(vision_tower) if vision_tower else None
    for source in [weights] if tower is None else [weights, tower]:
        for key in source:
            if not is_ignored(key) and key.startswith(TOWER if source is tower else ""):
                tensor = source.read(key)
                parameters[_part(key)] += tensor.numel()
                dtypes[str(tensor.dtype).removeprefix("torch.")] += 1
    sizes = {name: _bundle_bytes(parameters, recipe) for name, recipe in RECIPES.items()}
    context = default_context(config)
    memory = {
        recipe: memory_need(config, size, context, default_prefill(config, context))["bytes"]
        for recipe, size in sizes.items()
    }
    return Inspection(
        path=str(folder),
        form=weights.form,
        config=config.to_json(),
        image_tokens=config.image_tokens,
        parameters=dict(parameters),
        dtypes=dict(dtypes),
        bundle_bytes=sizes,
        memory_bytes=memory,
    )


def _part(key: str) -> str:
    if "vision" in key:
        return "vision_encoder"
    if "mm_projector" in key:
        return "projector"
    return {"model.embed_tokens.weight": "token_embedding", "lm_head.weight": "lm_head"}.get(key, "text_decoder")


def _bundle_bytes(parameters: Counter[str], recipe: Recipe) -> int:
    return round(sum(count * WEIGHT_BYTES[getattr(recipe, _KNOBS[part])] for part, count in parameters.items()))
