"""Rewrite a layer so that it computes the same and loses less when quantized.

Every step is exact, needs no data, and leaves the operators and sizes of the program as they are. Norms are folded first, because the
balance counts on inputs of unit variance.
"""

from __future__ import annotations

from mobilevlm_export.model.links import head_link, layer_links
from mobilevlm_export.model.mobilellama import MLP, DecoderLayer, MobileLlama
from mobilevlm_export.model.vision_encoder import VisionLayer
from mobilevlm_export.quantize.balance import balance, quick_gelu_magnitude, swiglu_magnitude, value_magnitude
from mobilevlm_export.quantize.fold_norms import fold_norm
from mobilevlm_export.quantize.rotate_values import rotate_values


def rewrite_layer(layer: DecoderLayer | VisionLayer) -> None:
    """Rewrite ``layer`` of the tower or of the text decoder, float32."""
    links = layer_links(layer)
    for norm in links.norms:
        fold_norm(norm)
    balance(links.value, value_magnitude(links.value.producer))
    rotate_values(links.value)
    mlp = layer.mlp
    balance(links.middle, swiglu_magnitude(mlp) if isinstance(mlp, MLP) else quick_gelu_magnitude(mlp))


def rewrite_head(decoder: MobileLlama) -> None:
    """Rewrite the final norm and ``lm_head`` of ``decoder``, float32."""
    fold_norm(head_link(decoder))
