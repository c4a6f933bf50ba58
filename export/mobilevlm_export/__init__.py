"""Take a MobileVLM V2 checkpoint to phones: load, quantize, lower, bundle."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevlm_export.checkpoint.load import load_checkpoint
    from mobilevlm_export.checkpoint.save import save_checkpoint
    from mobilevlm_export.job import ExportJob
    from mobilevlm_export.pipeline import export_bundle
    from mobilevlm_export.pixels import open_image, preprocess

__version__ = "0.2.0"
__all__ = ["ExportJob", "export_bundle", "load_checkpoint", "open_image", "preprocess", "save_checkpoint"]

_HOMES = {
    "ExportJob": "mobilevlm_export.job",
    "export_bundle": "mobilevlm_export.pipeline",
    "load_checkpoint": "mobilevlm_export.checkpoint.load",
    "save_checkpoint": "mobilevlm_export.checkpoint.save",
    "open_image": "mobilevlm_export.pixels",
    "preprocess": "mobilevlm_export.pixels",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``mvlm --help`` doesn't wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
