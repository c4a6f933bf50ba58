"""Conversations in tokens: one that grows gets the tokens that it had, so that it continues in the KV cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, TypeVar

from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.prompt import Turn
from mobilevlm_host.ask.conversation import ModelSpec
from mobilevlm_host.ask.kv_cache import Part, PromptImage
from mobilevlm_host.serve.remembered_images import digest

_MOST = 32  # pictures, and conversations

_Key = TypeVar("_Key", bound=Hashable)
_Conversation = tuple[bytes, tuple[Turn, ...]]


class RememberedPrompts:
    """Makes the prompts of conversations with a model. An answer's text can often be spelled with other tokens than the model chose:
    the chosen ones are remembered, for the latest conversations. Any thread may call any method.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec, self._lock = spec, threading.Lock()
        self._longest_piece = max(len(spec.tokenizer.piece(token)) for token in range(spec.tokenizer.vocab_size))
        self._images: OrderedDict[bytes, PromptImage] = OrderedDict()
        self._answered: OrderedDict[_Conversation, list[Part]] = OrderedDict()

    def is_too_long(self, turns: tuple[Turn, ...]) -> bool:
        """Whether ``turns`` certainly exceed the context: found without tokenizing them, which takes long for megabytes of text."""
        characters = sum(len(turn.question) + len(turn.answer or "") for turn in turns)
        return characters > self._spec.max_context * self._longest_piece

    def prompt(self, pixels: Tensor, turns: tuple[Turn, ...]) -> list[Part]:
        """The prompt that asks the last of ``turns`` about ``pixels`` (uint8 [3, S, S]), ending with a token."""
        key = digest(pixels)
        with self._lock:
            image = self._images.setdefault(key, PromptImage(pixels, self._spec.config.image_tokens))
            _keep_latest(self._images, key)
            before = self._answered.get((key, turns[:-1]))
        tokenizer, template = self._spec.tokenizer, self._spec.template
        if before:
            return [*before, *prompt.follow_up_ids(tokenizer, turns[-1].question, template)]
        parts: list[Part] = []
        for segment in prompt.encode_segments(tokenizer, turns, template):
            parts += [image] if segment is prompt.IMAGE else segment
        return parts

    def remember(self, pixels: Tensor, turns: tuple[Turn, ...], answer: str, parts: list[Part]) -> None:
        """Remember that the last of ``turns`` got ``answer``: ``parts`` are the prompt and the answer's tokens."""
        key = digest(pixels), (*turns[:-1], Turn(turns[-1].question, answer))
        with self._lock:
            self._answered[key] = parts
            _keep_latest(self._answered, key)


def _keep_latest(kept: OrderedDict[_Key, Any], latest: _Key) -> None:
    kept.move_to_end(latest)
    if len(kept) > _MOST:
        kept.popitem(last=False)
