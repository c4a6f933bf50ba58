"""Paths in the repository."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"
ROOT = TESTS.parent
