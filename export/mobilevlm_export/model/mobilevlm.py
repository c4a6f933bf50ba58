"""The model composed: image → vision encoder → projector → embeddings among the text's → MobileLLaMA.

Figure 2 of the papers of MobileVLM and MobileVLM V2; LLaVA-1.5 has the same parts.
Letters: N images, P patches, T tokens, D the language model's width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from PIL.Image import Image
from torch import Tensor, nn

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import PromptError
from mobilevlm_export.model.mobilellama import MobileLlama
from mobilevlm_export.model.projector import Projector, make_projector
from mobilevlm_export.model.vision_encoder import CLIPVisionTower
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer

Segment = Tensor | Image | str | Sequence[int]


class VisionEncoder(nn.Module):
    """Pixels to image embeddings: normalization, CLIP's tower, projector."""

    def __init__(self, config: MobileVLMConfig) -> None:
        super().__init__()
        self.mean = config.vision.image_mean
        self.std = config.vision.image_std
        self.tower = CLIPVisionTower(config.vision)
        self.projector: Projector = make_projector(config.projector)

    def normalized(self, pixels: Tensor) -> Tensor:
        """``pixels`` uint8 [N, 3, S, S] as the tower's input, of mean 0 and deviation 1 over CLIP's training images."""
        dtype = self.tower.embeddings.patch_embedding.weight.dtype
        mean = torch.tensor(self.mean, dtype=dtype, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, dtype=dtype, device=pixels.device).view(1, 3, 1, 1)
        return (pixels.to(dtype) / 255 - mean) / std

    def features(self, pixels: Tensor) -> Tensor:
        """CLIP's chosen features [N, P, vision width] of ``pixels`` uint8 [N, 3, S, S]."""
        features: Tensor = self.tower(self.normalized(pixels))
        return features

    def forward(self, pixels: Tensor) -> Tensor:
        """Image embeddings [N, image tokens, D] of ``pixels`` uint8 [N, 3, S, S]."""
        embeddings: Tensor = self.projector(self.features(pixels))
        return embeddings


class MobileVLM(nn.Module):
    """The whole model. Public parts: ``vision_encoder``, ``token_embedding``, ``text_decoder``."""

    def __init__(self, config: MobileVLMConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = VisionEncoder(config)
        self.token_embedding = nn.Embedding(config.llm.vocab_size, config.llm.hidden_size)
        self.text_decoder = MobileLlama(config.llm)
        self.tokenizer: Tokenizer | None = None  # set by load_checkpoint

    def vision_features(self, pixels: Tensor) -> Tensor:
        """CLIP's chosen features [N, P, vision width], before the projector, of ``pixels`` uint8 [N, 3, S, S]."""
        return self.vision_encoder.features(pixels)

    def embed(self, segments: Sequence[Segment]) -> Tensor:
        """Embeddings [1, T, D] of ``segments`` in order.

        A segment is text (tokenized on its own, BOS before the first segment), a list of token ids (used unchanged), or an
        image: RGB, ``pixels`` uint8 [3, S, S], or embeddings float [tokens, D] if already encoded.

        Raises:
            PromptError: there is text and the model has no tokenizer.
        """
        parts = []
        for index, segment in enumerate(segments):
            if isinstance(segment, str):
                segment = self._encode(segment, is_first=index == 0)
            elif isinstance(segment, Image):
                segment = preprocess(segment, self.config)
            parts.append(self._embed_image(segment) if isinstance(segment, Tensor) else self._embed_ids(segment))
        return torch.cat(parts, dim=1)

    def _encode(self, text: str, *, is_first: bool) -> list[int]:
        if self.tokenizer is None:
            raise PromptError("segments: got text, expected token ids, because this model has no tokenizer")
        return [*([self.tokenizer.bos_id] if is_first else []), *self.tokenizer.encode(text)]

    def _embed_ids(self, ids: Sequence[int]) -> Tensor:
        embeds: Tensor = self.token_embedding(
            torch.tensor([list(ids)], dtype=torch.long, device=self.token_embedding.weight.device)
        )
        return embeds

    def _embed_image(self, image: Tensor) -> Tensor:
        """Pixels uint8 [3, S, S], or embeddings [tokens, D] → [1, tokens, D]."""
        embeds: Tensor = self.vision_encoder(image[None]) if image.dtype == torch.uint8 else image[None]
        return embeds

    def most_likely(self, logits: Tensor) -> int:
        """The id of the highest of ``logits`` [V], among the ids that the tokenizer has a piece for."""
        return int(logits[: self.tokenizer.vocab_size if self.tokenizer else None].argmax())

    @torch.inference_mode()
    def generate_ids(self, segments: Sequence[Segment], max_new_tokens: int) -> Iterator[int]:
        """Yield greedy token ids until ``max_new_tokens`` or the end-of-text id, which is not yielded.

        Raises:
            PromptError: the prompt and ``max_new_tokens`` don't fit the model's longest context.
        """
        embeds = self.embed(segments)
        position, longest = 0, self.config.llm.max_position_embeddings
        if embeds.shape[1] + max_new_tokens > longest:
            raise PromptError(
                f"prompt: got {embeds.shape[1]} tokens and up to {max_new_tokens} new ones, expected at most {longest}"
            )
        self.text_decoder.setup_cache()
        for _ in range(max_new_tokens):
            logits = self.text_decoder(embeds, torch.tensor([position]))
            position += embeds.shape[1]
            token = self.most_likely(logits[0, -1])
            if token == self.config.eos_id:
                return
            yield token
            embeds = self.embed([[token]])

    def generate(self, segments: Sequence[Segment], max_new_tokens: int = 64) -> list[int]:
        """Greedy token ids for the prompt ``segments`` (see :meth:`embed`): the reference that parity compares with.

        Raises:
            PromptError: as :meth:`generate_ids`.
        """
        return list(self.generate_ids(segments, max_new_tokens))
