"""Where :mod:`mobilevlm_export.checkpoint.outliers` puts outliers. Doesn't import torch, because commands list the places."""

from __future__ import annotations

EQUIVALENT = ("norm", "value", "mlp")  # outliers here leave the function as it is
PLACES = (*EQUIVALENT, "vision_mlp")
STRENGTH = 50.0
