"""Ask a bundle on the desktop, and prove that it answers as the model does."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobilevlm_export.bundle.read import Bundle
    from mobilevlm_host.ask.runner import Runner

__all__ = ["Bundle", "Runner"]

_HOMES = {"Bundle": "mobilevlm_export.bundle.read", "Runner": "mobilevlm_host.ask.runner"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``mvlm --help`` doesn't wait for the engine."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
