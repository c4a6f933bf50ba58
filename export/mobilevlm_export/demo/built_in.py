"""The built-in demo model: its checkpoint, and sample images with questions about them."""

from __future__ import annotations

from pathlib import Path

DEMO = "demo"  # as a checkpoint's name
DEMO_CHECKPOINT = Path(__file__).parent / "checkpoint"
DEMO_SAMPLES = Path(__file__).parent / "samples"  # images, and samples.json with questions about them
