"""The settings of an export. Doesn't import torch, because commands read their choices and defaults from this module."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mobilevlm_export.errors import LoweringError, QuantizeError
from mobilevlm_export.quantize.recipe import RECIPES, Recipe

BACKENDS = ("executorch", "coreml")
CACHE_UPDATES = ("slice", "one-hot")  # how Core ML's KV cache is written
CALIBRATIONS = ("scenes", "none")
DEFAULT_RECIPE = "int4"
# In tokens; the model's maximum applies if it is less.
DEFAULT_MAX_CONTEXT, DEFAULT_MAX_PREFILL = 1024, 512


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
