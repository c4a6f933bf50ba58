"""The settings of an export. Doesn't import torch, because commands read their choices and defaults from this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import LoweringError, QuantizeError
from mobilevlm_export.quantize.recipe import RECIPES, Recipe

BACKENDS = ("executorch", "coreml", "coreai")
CACHE_UPDATES = ("slice", "one-hot")  # how Core ML's KV cache is written
CALIBRATIONS = ("scenes", "none")
DEFAULT_RECIPE = "int4"
# In tokens. A context leaves room for this much text next to an image; one call of the engine takes a whole image.
_LEAST_CONTEXT, _LEAST_PREFILL, _TEXT = 1024, 512, 880


def default_context(config: MobileVLMConfig) -> int:
    """The default context in tokens: 1024, or 1456 with an image of 576 tokens, or the model's maximum if that is less."""
    return min(max(_LEAST_CONTEXT, _TEXT + config.image_tokens), config.llm.max_position_embeddings)


def default_prefill(config: MobileVLMConfig, context: int) -> int:
    """The default prefill in tokens: 512, or an image's tokens if they are more, or the ``context`` if that is less."""
    return min(max(_LEAST_PREFILL, config.image_tokens), context)


@dataclass(frozen=True)
class ExportJob:
    """The settings of an export; checked on creation, immutable."""

    checkpoint: str | Path
    output: Path
    recipe: Recipe = field(default_factory=lambda: RECIPES[DEFAULT_RECIPE])
    backends: tuple[str, ...] = BACKENDS[:1]
    calibration: Path | str = "scenes"  # what int4 weights are fitted to: a folder of images, or one of CALIBRATIONS
    max_context: int | None = None
    coreml_cache_update: str = CACHE_UPDATES[0]
    vision_tower: Path | None = None
    zipped: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.calibration, str) and self.calibration not in CALIBRATIONS:
            raise QuantizeError(
                f"calibration: got {self.calibration!r:.60}, expected a path, {' or '.join(map(repr, CALIBRATIONS))}"
            )
        unknown = [name for name in self.backends if name not in BACKENDS]
        if unknown or not self.backends:
            got = repr(unknown[0]) if unknown else "none"
            raise LoweringError(f"backend: got {got}, expected {' or '.join(BACKENDS)}")
