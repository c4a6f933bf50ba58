"""The phone CPU that is emulated by default."""

from __future__ import annotations

DEFAULT_CPU = "cortex-a76"  # in phones since 2018: NEON with dot products
