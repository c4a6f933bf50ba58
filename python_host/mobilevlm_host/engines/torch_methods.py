"""The fp32 model itself as an engine."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilevlm_export.model import MobileVLM


class TorchMethods:
    """The :class:`Methods` of the fp32 model itself."""

    def __init__(self, model: MobileVLM) -> None:
        self._model = model
        model.text_decoder.setup_cache()

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Methods`."""
        features = self._model.vision_features(pixels)
        return self._model.vision_encoder.projector(features), features

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Methods`."""
        return self._model.token_embedding(ids)

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Methods`."""
        return self._model.text_decoder(embeds, torch.tensor([position]))[0, -1]
