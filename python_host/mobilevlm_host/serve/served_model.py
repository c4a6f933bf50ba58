"""A bundle's engine as the server uses it: any conversation in, text out, with as little computed again as possible."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.prompt import Turn
from mobilevlm_host.ask.conversation import ModelSpec
from mobilevlm_host.ask.kv_cache import KVCache, token_count
from mobilevlm_host.ask.text_stream import TextStream
from mobilevlm_host.engines.choose import chosen_backend, computed_by, open_methods
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.engines.methods import ComputedBy, Methods
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.remembered_images import RememberedImages
from mobilevlm_host.serve.remembered_prompts import RememberedPrompts
from mobilevlm_host.serve.stop_texts import StopTexts


@dataclass(frozen=True)
class ServedQuestion:
    """The last of ``turns``, about ``pixels`` (uint8 [3, S, S]), and how to answer it (see ``ChatRequest``)."""

    pixels: Tensor
    turns: tuple[Turn, ...]
    max_tokens: int | None = None
    temperature: float = 0.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServedAnswer:
    """A finished answer: its tokens, why it ended, and the seconds it took. ``cached_tokens`` of the prompt were in the KV cache, and
    ``reused_image`` says that the picture wasn't encoded for it. ``continued`` is a conversation that only grew.
    """

    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    finish_reason: Literal["stop", "length"]
    reused_image: bool
    continued: bool
    image_encode_s: float
    ttft_s: float
    decode_tok_s: float


class ServedModel:
    """One bundle's programs and KV cache. Only one thread may call :meth:`answer`."""

    def __init__(self, methods: Methods, spec: ModelSpec, name: str, backend: str, engine: ComputedBy) -> None:
        """``name`` is the model's for clients."""
        self.spec, self.name, self.backend, self.engine = spec, name, backend, engine
        self._images = RememberedImages(methods)
        generation = MethodsGeneration(self._images, pieces=spec.tokenizer.vocab_size, max_prefill=spec.max_prefill)
        self._cache = KVCache(generation, spec.max_prefill)
        self._prompts = RememberedPrompts(spec)
        before = prompt.before_image_ids(spec.tokenizer, spec.template)
        self._until_question = (
            len(before) + spec.config.image_tokens
        )  # tokens that all conversations about a picture share

    @classmethod
    def open(
        cls, bundle: Bundle, backend: str | None = None, threads: int | None = None, progress: Progress = silent
    ) -> ServedModel:
        """Load the artifact of ``bundle`` for ``backend``; errors as :func:`open_methods`."""
        name = bundle.source.name.removesuffix(".zip").removesuffix(".mvlm")
        chosen = chosen_backend(bundle, backend)
        methods = open_methods(bundle, chosen, threads, progress)
        return cls(methods, ModelSpec.of(bundle), name, chosen, computed_by(chosen))

    def require_room(self, question: ServedQuestion) -> None:
        """Check that the context has room for ``question`` and an answer.

        Raises:
            ApiError: it hasn't.
        """
        tokens, limit = None, self.spec.max_context
        if not self._prompts.is_too_long(question.turns):
            tokens = token_count(self._prompts.prompt(question.pixels, question.turns))
        if tokens is None or tokens >= limit:
            raise ApiError(
                400,
                f"messages: got {tokens or 'far more'} tokens, expected fewer than {limit}, the model's context",
                code="context_length_exceeded",
                param="messages",
            )

    def answer(
        self, question: ServedQuestion, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> ServedAnswer:
        """Answer ``question``, passing on the text as it comes, until the end, a limit, or ``cancelled`` returns true.

        Raises:
            MobileVLMError: the engine fails.
        """
        parts = self._prompts.prompt(question.pixels, question.turns)
        room = self.spec.max_context - token_count(parts)
        most = min(question.max_tokens or room, room)
        stream, stops = TextStream(self.spec.tokenizer.specials), StopTexts(question.stop)
        ids, times, text = list[int](), list[float](), ""
        is_over = False

        def show(more: str) -> None:
            nonlocal text
            if more:
                text += more
                on_text(more)

        def on_token(token: int) -> bool:
            nonlocal is_over
            times.append(time.perf_counter())
            if token == self.spec.config.eos_id:
                is_over = True
                return False
            ids.append(token)
            show(stops.add(stream.add(self.spec.tokenizer.piece(token))))
            is_over = stops.found
            return not (is_over or cancelled())

        encoded_before, begin = self._images.encoded, time.perf_counter()
        image_s = self._cache.generate(parts, most, question.temperature, on_token, cancelled)
        if not stops.found:
            show(stops.add(stream.finish()))
            show(stops.finish())
        if not stops.found and text:
            self._prompts.remember(question.pixels, question.turns, text, [*parts, *ids])
        first, last = (times[0], times[-1]) if times else (time.perf_counter(), 0.0)
        cached = self._cache.reused_tokens
        return ServedAnswer(
            prompt_tokens=token_count(parts),
            cached_tokens=cached,
            generated_tokens=len(ids),
            finish_reason="stop" if is_over or stops.found else "length",
            reused_image=self._images.encoded == encoded_before,
            continued=len(question.turns) > 1 and cached > self._until_question,
            image_encode_s=image_s,
            ttft_s=first - begin,
            decode_tok_s=(len(times) - 1) / (last - first) if last > first else 0.0,
        )
