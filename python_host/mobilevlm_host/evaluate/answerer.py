"""Greedy answers from the three methods of a model, with several questions about one picture for the price of one prefill.

The constant prompt and the picture stand in the KV cache before the question. The next question about the picture begins at the
same position again: what an earlier one left behind it is overwritten, and never read before that.
"""

from __future__ import annotations

import torch
from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.text_stream import TextStream
from mobilevlm_host.engines.methods import Methods, decode, prefill
from mobilevlm_host.engines.native_output import native_output_hidden


class Answerer:
    """Shows a picture to ``methods`` and asks about it; from one thread at a time."""

    def __init__(
        self,
        methods: Methods,
        tokenizer: Tokenizer,
        config: MobileVLMConfig,
        *,
        max_context: int,
        max_prefill: int,
        template: prompt.Template = prompt.V1,
    ) -> None:
        self._methods, self._tokenizer, self._config, self._template = methods, tokenizer, config, template
        self._max_context, self._max_prefill = max_context, max_prefill
        self._before = [tokenizer.bos_id, *tokenizer.encode(template.before_image)]
        self._position = len(self._before) + config.image_tokens  # where each question begins
        self._prompted = False

    @torch.inference_mode()
    def show(self, image: Image) -> None:
        """Put ``image`` (RGB) into the KV cache, behind the constant prompt."""
        with native_output_hidden():
            if not self._prompted:
                self._feed(self._embed(self._before), 0)
                self._prompted = True
            embeds, _ = self._methods.vision_encoder(preprocess(image, self._config)[None])
            self._feed(embeds, len(self._before))

    @torch.inference_mode()
    def answer(self, question: str, max_new_tokens: int) -> str:
        """The answer to ``question`` about the picture shown last: at most ``max_new_tokens`` or what the context has room for.

        A question that leaves no room for a token is answered with nothing.
        """
        ids = self._tokenizer.encode(self._template.first(prompt.Turn(question).question))
        position = self._position
        room = min(max_new_tokens, self._max_context - position - len(ids))
        stream, text = TextStream(self._tokenizer.specials), ""
        with native_output_hidden():
            tokens = decode(
                self._methods,
                ids,
                position,
                eos_id=self._config.eos_id,
                pieces=self._tokenizer.vocab_size,
                max_prefill=self._max_prefill,
                max_new_tokens=room,
            )
            for token in tokens:
                text += stream.add(self._tokenizer.piece(token))
        return text + stream.finish()

    def _embed(self, ids: list[int]) -> Tensor:
        return self._methods.token_embedding(torch.tensor([ids]))

    def _feed(self, embeds: Tensor, position: int) -> Tensor:
        return prefill(self._methods, embeds, self._max_prefill, position)


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
