"""A phone's inputs for an image and a question, computed like in the apps from the manifest and the tokenizer files alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL.Image import Image
from tokenizers import Tokenizer as JsonTokenizer
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.pixels import square_pixels
from mobilevlm_export.tokenizer import Tokenizer


class PhoneInputs:
    """Pixels and token ids according to a bundle's manifest."""

    def __init__(self, bundle: Bundle) -> None:
        """Read the manifest's image and prompt, and both tokenizer files: ``tokenizer.json`` for ExecuTorch's runners,
        ``tokenizer.model`` for the desktop's runner and iPhones.
        """
        values: Any = bundle.manifest.values
        self._image, self._prompt = values["image"], values["prompt"]
        self._tokenizer = JsonTokenizer.from_file(str(bundle.tokenizer("json")))
        self._tokenizer.encode_special_tokens = True  # a user's "</s>" is plain text
        self._model = Tokenizer(bundle.tokenizer())

    @property
    def size(self) -> tuple[int, int, int]:
        """The shape of the pixels: channels, height, width."""
        return 3, self._image["size"], self._image["size"]

    def pixels(self, image: Image) -> Tensor:
        """The pixels of ``image`` (RGB): uint8 [3, S, S]."""
        red, green, blue = self._image["pad_color"]
        return square_pixels(image, self._image["size"], (red, green, blue))

    def ids(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image, with ``tokenizer.json``."""
        return self._prompt_ids(question, lambda text: list(self._tokenizer.encode(text, add_special_tokens=False).ids))

    def model_ids(self, question: str) -> tuple[list[int], list[int]]:
        """Like :meth:`ids`, with ``tokenizer.model``."""
        return self._prompt_ids(question, self._model.encode)

    def _prompt_ids(self, question: str, encode: Callable[[str], list[int]]) -> tuple[list[int], list[int]]:
        before, after = self._prompt["before_image"], self._prompt["after_image"].replace("{question}", question)
        return [self._prompt["bos_id"], *encode(before)], encode(after)
