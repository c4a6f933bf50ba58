"""Ask a bundle on the desktop: ExecuTorch's through the C++ multimodal runner that phones use, Core ML's by its saved programs.

Token ids go in, so the prompt is the reference's; pieces of single tokens come out. The engine keeps one conversation about
one image in its KV cache: what is cached is mirrored here, so that a follow-up feeds only what is new.
"""

from __future__ import annotations

import queue
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from PIL.Image import Image
from torch import Tensor

from mobilevlm_export import prompt
from mobilevlm_export.bundle import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.coreml import open_coreml
from mobilevlm_host.generation import CppGeneration, Generation, MethodsGeneration
from mobilevlm_host.methods import ComputedBy, ExecuTorchMethods, Methods, chosen_backend, computed_by
from mobilevlm_host.text_stream import TextStream

StopReason = Literal["eos", "length", "stopped"]


@dataclass(frozen=True)
class Answer:
    """A finished answer. ``token_ids`` are without the end of text."""

    text: str
    token_ids: list[int] | None
    stop_reason: StopReason


@dataclass(frozen=True)
class Stats:
    """Seconds, tokens and bytes of the last answer.

    ``image_encode_s`` is the time to encode the image and put its embeddings through the text decoder (0 for a follow-up);
    ``ttft_s`` runs from the question to the first token; ``peak_rss_bytes`` is the whole process's.
    """

    load_s: float
    image_encode_s: float
    prefill_s: float
    ttft_s: float
    prompt_tokens: int
    generated_tokens: int
    decode_tok_s: float
    peak_rss_bytes: int


class Runner:
    """An opened bundle that answers questions; use it as a context manager, from one thread at a time (but see stop)."""

    def __init__(self, bundle: Bundle, *, threads: int | None = None, backend: str | None = None) -> None:
        """Load the program of ``bundle`` for ``backend`` (default: executorch if it is there, else what is); ``threads`` sets the
        engine's CPU threads (of the whole process).

        Raises:
            BundleError: the bundle has no such artifact.
            MilError: a Core ML program is damaged, lacks a function, or has operations that the evaluator doesn't know.
            RunnerError: the engine can't load it.
        """
        begin = time.perf_counter()
        self.backend = chosen_backend(bundle, backend)
        self.bundle, self.config, self.manifest = bundle, bundle.config, bundle.manifest
        self.tokenizer = Tokenizer(bundle.tokenizer())
        if self.config.image_tokens > self.manifest.max_prefill:
            raise RunnerError(
                f"{bundle.path}: got a prefill of {self.manifest.max_prefill} tokens, "
                f"expected at least the image's {self.config.image_tokens}"
            )
        self._engine: Generation
        self._coreml = open_coreml(bundle, threads) if self.backend == "coreml" else None
        if self._coreml:
            self._engine = MethodsGeneration(
                self._coreml, eos_id=self.config.eos_id, max_prefill=self.manifest.max_prefill
            )
        else:
            self._engine = CppGeneration(bundle, self.tokenizer, threads)
        self._load_s = time.perf_counter() - begin
        self._image: Tensor | None = None  # pixels of the image in the KV cache
        self._cached: list[int] | None = None  # ids in the KV cache behind the image; None: nothing is prepared
        self._pending: list[int] = []  # ids of the last answer that the engine hasn't fed yet
        self._image_encode_s = 0.0
        self._asking = threading.Lock()
        self._stopped = False
        self._closed = False
        self._answer: Answer | None = None
        self._stats: Stats | None = None

    def prepare(self, image: Image) -> None:
        """Put the constant prompt and ``image`` (RGB) into the KV cache before a question is known; forgets all before."""
        self._require_open()
        self._prefill_image(preprocess(image, self.config))

    def ask(self, image: Image, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0) -> Iterator[str]:
        """Answer ``question`` about ``image`` (RGB) piece by piece. The first token is always the likeliest one.

        Raises:
            PromptError: the question is empty.
            RunnerError: it doesn't fit the context (before anything runs), the runner is closed, or it is answering already.
        """
        ids = self._first_question(question, max_new_tokens)
        self.prepare(image)
        return self._generate(ids, max_new_tokens, temperature)

    def ask_prepared(self, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0) -> Iterator[str]:
        """As :meth:`ask`, about the image given to :meth:`prepare`; a conversation since then is forgotten."""
        ids = self._first_question(question, max_new_tokens)
        if self._cached is None:
            raise RunnerError("ask_prepared: got no image, expected prepare(image) before")
        if self._cached:
            assert self._image is not None
            self._prefill_image(self._image)
        return self._generate(ids, max_new_tokens, temperature)

    def follow_up(self, question: str, *, max_new_tokens: int = 128, temperature: float = 0.0) -> Iterator[str]:
        """Answer another ``question`` in the same conversation; the image and all before stay in the KV cache."""
        self._require_open()
        if not self._cached:
            raise RunnerError("follow_up: got no finished answer, expected ask() before")
        ids = [*self._pending, *prompt.follow_up_ids(self.tokenizer, question)]
        self._require_room(self._position + len(ids), max_new_tokens)
        self._image_encode_s = 0.0
        return self._generate(ids, max_new_tokens, temperature)

    def stop(self) -> None:
        """End the running answer after its current token; may be called from any thread."""
        self._stopped = True
        self._engine.stop()

    @property
    def answer(self) -> Answer:
        """The last finished answer.

        Raises:
            RunnerError: none is finished.
        """
        if self._answer is None:
            raise RunnerError("answer: none is finished yet, expected the pieces of ask() to be read to their end")
        return self._answer

    @property
    def stats(self) -> Stats:
        """Figures of the last finished answer; errors as :attr:`answer`."""
        if self._stats is None:
            raise RunnerError("stats: no answer is finished yet, expected the pieces of ask() to be read to their end")
        return self._stats

    def methods(self) -> Methods:
        """The program's methods, with a KV cache of their own.

        Raises:
            RunnerError: the runtime can't load it.
        """
        return self._coreml.with_own_cache() if self._coreml else ExecuTorchMethods(self.bundle)

    @property
    def engine(self) -> Generation:
        """What this runner drives, to measure it: after feeding it directly, begin with :meth:`ask` or :meth:`prepare`.

        Raises:
            RunnerError: the runner is closed, or still answering.
        """
        self._require_open()
        self._cached = None
        return self._engine

    @property
    def computed_by(self) -> ComputedBy:
        """What computes here, and what that shows."""
        return computed_by(self.backend)

    def close(self) -> None:
        """Free the engine. The bundle stays open for whoever opened it."""
        if not self._closed:
            self._closed = True
            del self._engine

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _prefix(self) -> list[int]:
        return [self.tokenizer.bos_id, *self.tokenizer.encode(prompt.prefix())]

    @property
    def _position(self) -> int:
        """Tokens in the KV cache."""
        return len(self._prefix) + self.config.image_tokens + len(self._cached or ())

    def _first_question(self, question: str, max_new_tokens: int) -> list[int]:
        self._require_open()
        ids = self.tokenizer.encode(prompt.after_image(prompt.Turn(question).question))
        self._require_room(len(self._prefix) + self.config.image_tokens + len(ids), max_new_tokens)
        return ids

    def _require_room(self, prompt_tokens: int, max_new_tokens: int) -> None:
        limit = self.manifest.max_context
        if prompt_tokens + max_new_tokens > limit:
            raise RunnerError(
                f"question: got a prompt of {prompt_tokens} tokens and up to {max_new_tokens} new ones, "
                f"expected at most {limit} together (the bundle's context)"
            )

    def _require_open(self) -> None:
        if self._closed:
            raise RunnerError("runner: it is closed, expected an open one")
        if self._asking.locked():
            raise RunnerError("runner: it is still answering, expected its answer to be read to the end or stopped")

    def _prefill_image(self, pixels: Tensor) -> None:
        self._engine.reset()
        self._engine.feed(self._prefix)
        begin = time.perf_counter()
        self._engine.show(pixels)
        self._image, self._cached, self._pending = pixels, [], []
        self._image_encode_s = time.perf_counter() - begin

    def _generate(self, ids: list[int], max_new_tokens: int, temperature: float) -> Iterator[str]:
        """Feed ``ids`` and hand out the answer's text; the engine runs in a thread of its own."""
        begin = time.perf_counter()
        prompt_tokens = self._position + len(ids)
        self._stopped = False
        self._answer, self._stats = None, None
        tokens: queue.Queue[int | BaseException | None] = queue.Queue()
        worker = threading.Thread(
            target=self._run_engine, args=(ids, max_new_tokens, temperature, tokens), name="mvlm-generate", daemon=True
        )
        self._asking.acquire()
        worker.start()
        return self._pieces(worker, tokens, ids, prompt_tokens, max_new_tokens, begin)

    def _run_engine(self, ids: list[int], max_new_tokens: int, temperature: float, tokens: queue.Queue[Any]) -> None:
        longest = self.manifest.max_prefill
        chunks = [ids[at : at + longest] for at in range(0, len(ids), longest)]
        try:
            for chunk in chunks[:-1]:
                self._engine.feed(chunk)
            self._engine.generate(chunks[-1], max_new_tokens, temperature, tokens.put, lambda: self._stopped)
            tokens.put(None)
        except BaseException as error:
            tokens.put(error)

    def _pieces(
        self,
        worker: threading.Thread,
        tokens: queue.Queue[int | BaseException | None],
        ids: list[int],
        prompt_tokens: int,
        max_new_tokens: int,
        begin: float,
    ) -> Iterator[str]:
        stream, text, got = TextStream(), "", list[int]()
        ended = after_end = False
        first = last = 0.0
        try:
            while (token := tokens.get()) is not None:
                if isinstance(token, BaseException):
                    self._cached = None
                    raise RunnerError(
                        f"engine: {str(token).splitlines()[0] if str(token) else type(token).__name__}"
                    ) from token
                last = time.perf_counter()
                first = first or last
                if ended:
                    after_end = True  # an engine that goes on after a first token that is the end of text
                    continue
                if token == self.config.eos_id:
                    ended = True
                    self._engine.stop()
                    continue
                got.append(token)
                if new := stream.add(self.tokenizer.piece(token)):
                    text += new
                    yield new
            if rest := stream.finish():
                text += rest
                yield rest
        finally:
            if worker.is_alive():
                self.stop()
            worker.join()
            self._asking.release()
            # The engine feeds a token when it asks for the next: the last one is fed only if the end of text followed it.
            fed = got if ended else got[:-1]
            if self._cached is not None:
                self._cached += [*ids, *fed]
                self._pending = got[len(fed) :]
                if after_end:
                    self._rebuild()
        reason: StopReason = "eos" if ended else "stopped" if self._stopped and len(got) < max_new_tokens else "length"
        self._answer = Answer(text, got, reason)
        decode_s = last - first
        self._stats = Stats(
            load_s=self._load_s,
            image_encode_s=self._image_encode_s,
            prefill_s=first - begin,
            ttft_s=first - begin + self._image_encode_s,
            prompt_tokens=prompt_tokens,
            generated_tokens=len(got),
            decode_tok_s=(len(got) - 1) / decode_s if len(got) > 1 and decode_s > 0 else 0.0,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )

    def _rebuild(self) -> None:
        """Fill the KV cache anew with the conversation as it was said."""
        said = self._cached or []
        assert self._image is not None
        self._prefill_image(self._image)
        for at in range(0, len(said), self.manifest.max_prefill):
            self._engine.feed(said[at : at + self.manifest.max_prefill])
        self._cached = said
