"""A model's methods that encode a picture once, however often it is shown."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from torch import Tensor

from mobilevlm_host.engines.methods import Methods

_MOST = 16  # pictures; the 1.7B's take 1.2 MB each, and 2.4 MB for CLIP's features


def digest(pixels: Tensor) -> bytes:
    """SHA-256 of ``pixels`` (uint8)."""
    return sha256(pixels.numpy().tobytes()).digest()


class RememberedImages:
    """The :class:`Methods` of ``methods``, which remembers what the vision encoder returned for the latest pictures."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self._outputs: OrderedDict[bytes, tuple[Tensor, Tensor]] = OrderedDict()
        self.encoded = 0  # how many pictures were encoded

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Methods`."""
        key = digest(pixels)
        if key not in self._outputs:
            self._outputs[key] = self._methods.vision_encoder(pixels)
            self.encoded += 1
            if len(self._outputs) > _MOST:
                self._outputs.popitem(last=False)
        self._outputs.move_to_end(key)
        return self._outputs[key]

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`Methods`."""
        return self._methods.token_embedding(ids)

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`Methods`."""
        return self._methods.text_decoder(embeds, position)
