"""A conversation about an image with any engine: questions, follow-ups, and answers that are streamed and can be stopped.

The engine is fed token ids, so that the prompt equals the reference's, and returns pieces of single tokens. A conversation is a
growing prompt: the engine's KV cache is mirrored (:mod:`mobilevlm_host.ask.kv_cache`), so that only the new part is fed.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from PIL.Image import Image

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import MobileVLMError, RunnerError
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.answering import Answering, Request
from mobilevlm_host.ask.kv_cache import KVCache, Part, PromptImage, token_count
from mobilevlm_host.ask.text_stream import TextStream
from mobilevlm_host.engines.generation import Generation

StopReason = Literal["eos", "length", "stopped"]
_BUSY = "runner: got a call during an answer, expected the answer to be read to its end or dropped"


@dataclass(frozen=True)
class ModelSpec:
    """Everything but the engine that is needed to ask a model. ``max_context`` is the longest conversation, ``max_prefill`` the
    most that is fed in one call, both in tokens.
    """

    tokenizer: Tokenizer
    config: MobileVLMConfig
    max_context: int
    max_prefill: int
    template: prompt.Template = prompt.V1

    @classmethod
    def of(cls, bundle: Bundle) -> ModelSpec:
        """The specification in the manifest of ``bundle``."""
        manifest = bundle.manifest
        return cls(
            Tokenizer(bundle.tokenizer()), bundle.config, manifest.max_context, manifest.max_prefill, manifest.template
        )

    def room(self, question: str) -> int:
        """The tokens that the context leaves for an answer to the first ``question`` about an image; negative if it is too long."""
        before, after = prompt.first_turn_ids(self.tokenizer, question, self.template)
        return self.max_context - len(before) - self.config.image_tokens - len(after)


@dataclass(frozen=True)
class Answer:
    """A finished answer. ``token_ids`` exclude the end of text."""

    text: str
    token_ids: list[int] | None
    stop_reason: StopReason


@dataclass(frozen=True)
class Stats:
    """Seconds, tokens and bytes of the last answer.

    ``image_encode_s`` is the time to encode the image and feed its embeddings to the text decoder (0 if it was cached by an
    earlier answer), ``prefill_s`` the rest of the time to the first token, ``ttft_s`` the sum; ``peak_rss_bytes`` is for the
    whole process.
    """

    load_s: float
    image_encode_s: float
    prefill_s: float
    ttft_s: float
    prompt_tokens: int
    generated_tokens: int
    decode_tok_s: float
    peak_rss_bytes: int


def require_limits(max_new_tokens: int, temperature: float) -> None:
    """Check the limits of an answer.

    Raises:
        RunnerError: ``max_new_tokens`` is below 1, or ``temperature`` is not from 0 to 1.
    """
    if max_new_tokens < 1:
        raise RunnerError(f"max_new_tokens: got {max_new_tokens}, expected at least 1")
    if not 0 <= temperature <= 1:
        raise RunnerError(f"temperature: got {temperature}, expected 0 (greedy) to 1")


class Conversation:
    """Questions to a model and its answers, one at a time; a context manager."""

    def __init__(self, engine: Generation, spec: ModelSpec, *, load_s: float = 0.0) -> None:
        """``load_s`` is the time to load ``engine``, for :attr:`stats`."""
        self.spec, self.config, self.tokenizer = spec, spec.config, spec.tokenizer
        self._cache: KVCache | None = KVCache(engine, spec.max_prefill)  # None: closed
        self._load_s = load_s
        self._before_image = prompt.before_image_ids(self.tokenizer, spec.template)
        self._conversation: list[Part] = []  # the conversation so far, cached or not
        self._prepare_s = 0.0  # seconds for a prepared image, not yet reported by an answer
        self._busy = threading.Lock()
        self._answering: Answering | None = None  # the latest, running or not
        self._stopped = threading.Event()  # stops the latest answer
        self._answer: Answer | None = None
        self._stats: Stats | None = None

    def answer_ids(self, image: Image, question: str, max_new_tokens: int) -> list[int]:
        """The greedy answer to ``question`` about ``image`` (RGB) as token ids without the end of text; errors as :meth:`ask`."""
        for _ in self.ask(image, question, max_new_tokens=max_new_tokens):
            pass
        return list(self.answer.token_ids or ())

    def prepare(self, image: Image) -> None:
        """Put the constant prompt and ``image`` (RGB) into the KV cache before a question is known; drops the conversation."""
        with self._alone() as cache:
            self._conversation = self._prompt_before_question(image)
            self._prepare_s = cache.hold(self._conversation)

    def ask(
        self, image: Image, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """Answer ``question`` about ``image`` (RGB) piece by piece. The first token is always the most likely one.

        Nothing runs before the first piece is requested. Until the pieces are read to their end, or the generator is closed or
        dropped, the runner can't do anything else.

        Raises:
            PromptError: the question is empty.
            RunnerError: the prompt doesn't fit the context, ``max_new_tokens`` is below 1, ``temperature`` isn't from 0 to 1, the
                runner is closed, or another answer is running; while reading pieces: the engine fails.
        """
        stopped = self._begin()
        return self._ask(self._prompt_before_question(image), question, max_new_tokens, temperature, stopped)

    def ask_prepared(
        self, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """Like :meth:`ask`, about the image given to :meth:`prepare`; any conversation since then is dropped."""
        stopped = self._begin()
        if not self._conversation:
            raise RunnerError("ask_prepared: got no image, expected a call of prepare(image) before")
        shown = self._conversation[: len(self._before_image) + 1]
        return self._ask(shown, question, max_new_tokens, temperature, stopped)

    def follow_up(
        self, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """Like :meth:`ask`, in the same conversation, which stays in the KV cache with its image."""
        stopped = self._begin()
        if len(self._conversation) <= len(self._before_image) + 1:
            raise RunnerError("follow_up: got no finished answer, expected a call of ask() before")
        return self._ask(self._conversation, question, max_new_tokens, temperature, stopped)

    def stop(self) -> None:
        """Stop the latest answer after its current token. May be called from any thread at any time."""
        self._stopped.set()

    @property
    def answer(self) -> Answer:
        """The last finished answer.

        Raises:
            RunnerError: none is finished.
        """
        if self._answer is None:
            raise RunnerError("answer: got no finished answer, expected the pieces of ask() to be read to their end")
        return self._answer

    @property
    def stats(self) -> Stats:
        """The figures of the last finished answer; errors as :attr:`answer`."""
        if self._stats is None:
            raise RunnerError("stats: got no finished answer, expected the pieces of ask() to be read to their end")
        return self._stats

    @contextmanager
    def exclusive_engine(self) -> Iterator[Generation]:
        """The engine, for measurements. No question can be asked within this context; afterwards the conversation continues.

        Raises:
            RunnerError: the runner is closed, or an answer is running.
        """
        with self._alone() as cache, cache.exclusive_engine() as engine:
            yield engine

    def forget(self) -> None:
        """Discard the mirror of the engine's KV cache, because the engine was used from outside.

        Raises:
            RunnerError: the conversation is closed, or an answer is running.
        """
        with self.exclusive_engine():
            pass

    def close(self) -> None:
        """Stop a running answer and free the engine. The bundle stays open."""
        self._cache = None
        self.stop()
        if self._answering:
            self._answering.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _alone(self) -> Iterator[KVCache]:
        """The engine, locked against all other calls from this and other threads."""
        if not self._busy.acquire(blocking=False):
            raise RunnerError(_BUSY)
        try:
            yield self._require_open()
        finally:
            self._busy.release()

    def _require_open(self) -> KVCache:
        if self._cache is None:
            raise RunnerError("runner: got a closed runner, expected an open one")
        return self._cache

    def _begin(self) -> threading.Event:
        """Start another answer: returns the event that stops it."""
        self._require_open()
        if self._busy.locked():
            raise RunnerError(_BUSY)
        self._stopped = stopped = threading.Event()
        return stopped

    def _prompt_before_question(self, image: Image) -> list[Part]:
        """The prompt up to and including ``image``."""
        return [*self._before_image, PromptImage(preprocess(image, self.config), self.config.image_tokens)]

    def _ask(
        self, before: list[Part], question: str, max_new_tokens: int, temperature: float, stopped: threading.Event
    ) -> Generator[str, None, None]:
        """Answer ``question`` after ``before``, which ends with an image or an answer."""
        require_limits(max_new_tokens, temperature)
        if isinstance(before[-1], PromptImage):
            ids = prompt.after_image_ids(self.tokenizer, question, self.spec.template)
        else:
            ids = prompt.follow_up_ids(self.tokenizer, question, self.spec.template)
        tokens, limit = token_count(before) + len(ids), self.spec.max_context
        if tokens + max_new_tokens > limit:
            raise RunnerError(
                f"question: got a prompt of {tokens} tokens and up to {max_new_tokens} new ones, "
                f"expected at most {limit} together (the bundle's context)"
            )
        request = Request((*before, *ids), max_new_tokens, temperature, self.config.eos_id, stopped)
        return self._pieces(before, request)

    def _pieces(self, before: list[Part], request: Request) -> Generator[str, None, None]:
        with self._alone() as cache:
            self._conversation, self._stopped = before, request.stopped
            self._answer = self._stats = None
            begin = time.perf_counter()
            self._answering = answering = Answering(cache, request)
            del cache  # so that close can free it
            tokens_so_far = list(request.prompt)
            ids, times = list[int](), list[float]()
            stream, text = TextStream(self.tokenizer.specials), ""
            try:
                for token, came_s in answering:
                    times.append(came_s)
                    self._conversation = tokens_so_far
                    if token == request.eos_id:
                        continue
                    tokens_so_far.append(token)
                    ids.append(token)
                    if new := stream.add(self.tokenizer.piece(token)):
                        text += new
                        yield new
                is_stopped = request.stopped.is_set()
                if rest := stream.finish():
                    text += rest
                    yield rest
            except MobileVLMError:
                self._conversation = before
                raise
            finally:
                answering.end()
            stop_reason: StopReason = "stopped" if is_stopped and len(ids) < request.max_new_tokens else "length"
            self._answer = Answer(text, ids, "eos" if len(times) > len(ids) else stop_reason)
            self._stats = self._measured(answering.image_s, begin, times, request, len(ids))

    def _measured(
        self, image_s: float, begin: float, times: list[float], request: Request, generated_tokens: int
    ) -> Stats:
        """The figures of an answer that was requested at ``begin``, with tokens at ``times`` and ``image_s`` spent on its image."""
        first, last = (times[0], times[-1]) if times else (time.perf_counter(), 0.0)
        image_encode_s, self._prepare_s = image_s or self._prepare_s, 0.0
        prefill_s = first - begin - image_s
        return Stats(
            load_s=self._load_s,
            image_encode_s=image_encode_s,
            prefill_s=prefill_s,
            ttft_s=image_encode_s + prefill_s,
            prompt_tokens=token_count(request.prompt),
            generated_tokens=generated_tokens,
            decode_tok_s=(len(times) - 1) / (last - first) if last > first else 0.0,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
