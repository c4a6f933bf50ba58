"""The fp32 model's answers, the reference for bundles."""

from __future__ import annotations

from PIL.Image import Image

from mobilevlm_export import prompt
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer


def answer_fp32(model: MobileVLM, tokenizer: Tokenizer, image: Image, question: str, max_new_tokens: int) -> str:
    """The greedy answer of ``model`` to ``question`` about ``image`` (RGB)."""
    before, after = prompt.first_turn_ids(tokenizer, question)
    return tokenizer.decode(model.generate([before, preprocess(image, model.config), after], max_new_tokens))
