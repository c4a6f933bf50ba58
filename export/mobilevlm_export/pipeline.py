"""From checkpoint to bundle: load → quantize → lower → bundle."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobilevlm_export.bundle import Bundle, Manifest, write_bundle, zip_bundle
from mobilevlm_export.checkpoint import checkpoint_sha256, load_checkpoint
from mobilevlm_export.hub import resolve_checkpoint
from mobilevlm_export.lower.executorch import lower_executorch
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize import RECIPES, Recipe, quantize
from mobilevlm_export.terminal import megabytes
from mobilevlm_export.tokenizer import Tokenizer, make_tokenizer_json

DEMO_CHECKPOINT = Path(__file__).parent / "demo" / "checkpoint"


@dataclass(frozen=True)
class ExportJob:
    """What to export, how, and where to; checked once, never changed."""

    checkpoint: str | Path
    output: Path
    recipe: Recipe = field(default_factory=lambda: RECIPES["int4"])
    max_context: int | None = None
    vision_tower: Path | None = None
    zipped: bool = False
    force: bool = False
