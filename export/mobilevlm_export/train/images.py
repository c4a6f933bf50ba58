"""Real training data: conversations from a JSON list, with their images in a folder."""

from __future__ import annotations

from pathlib import Path

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import TrainError
from mobilevlm_export.images.reference_image import open_as_reference
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_export.train.conversation import TemplateName, TrainingSample, tokenize
from mobilevlm_export.train.stage import Example


class ImageConversations:
    """Samples with their pixels; images are opened on access.

    Raises:
        TrainError: an image is missing; the message names the first such entry.
    """

    def __init__(
        self,
        samples: list[TrainingSample],
        images: Path,
        config: MobileVLMConfig,
        tokenizer: Tokenizer,
        template: TemplateName,
        max_tokens: int,
    ) -> None:
        self.samples, self.images, self.config, self.tokenizer = samples, images, config, tokenizer
        self.template, self.max_tokens = template, max_tokens
        for index, sample in enumerate(samples):  # before hours of training, not after
            if sample.image is not None and not (images / sample.image).is_file():
                raise TrainError(f"{images / sample.image}: no such file, expected the image of entry {index}")

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        sample = self.samples[index]
        pixels = None
        if sample.image is not None:
            file = self.images / sample.image
            pixels = preprocess(open_as_reference(file, str(file)), self.config)
        room = self.max_tokens - (0 if pixels is None else self.config.image_tokens)
        return pixels, tokenize(self.tokenizer, sample, self.template, room)

    def lengths(self) -> list[int]:
        """The number of characters of each conversation: a cheap estimate of its tokens."""
        return [sum(len(turn.question) + len(turn.answer or "") for turn in sample.turns) for sample in self.samples]
