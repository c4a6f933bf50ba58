"""What a phone makes of a picture and a question: from the manifest and the tokenizer files alone, as the apps do it."""

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
    """Pixels and token ids as the manifest of a bundle asks for them."""

    def __init__(self, bundle: Bundle) -> None:
        """Read the manifest's image and prompt, and both tokenizer files: ``tokenizer.json``, which ExecuTorch's runners read,
        and ``tokenizer.model``, which the desktop's runner and iPhones read.
        """
        values: Any = bundle.manifest.values
        self._image, self._prompt = values["image"], values["prompt"]
        self._tokenizer = JsonTokenizer.from_file(str(bundle.tokenizer("json")))
        self._tokenizer.encode_special_tokens = True  # a user's "</s>" is text
        self._model = Tokenizer(bundle.tokenizer())

    @property
    def size(self) -> tuple[int, int, int]:
        """The shape of pixels: channels, height, width."""
        return 3, self._image["size"], self._image["size"]

    def pixels(self, image: Image) -> Tensor:
        """Uint8 [3, S, S] of ``image`` (RGB)."""
        red, green, blue = self._image["pad_color"]
        return square_pixels(image, self._image["size"], (red, green, blue))

    def ids(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the image, by ``tokenizer.json``."""
        return self._asked(question, lambda text: list(self._tokenizer.encode(text, add_special_tokens=False).ids))

    def model_ids(self, question: str) -> tuple[list[int], list[int]]:
        """As :meth:`ids`, by ``tokenizer.model``."""
        return self._asked(question, self._model.encode)

    def _asked(self, question: str, encode: Callable[[str], list[int]]) -> tuple[list[int], list[int]]:
        before, after = self._prompt["before_image"], self._prompt["after_image"].replace("{question}", question)
        return [self._prompt["bos_id"], *encode(before)], encode(after)
