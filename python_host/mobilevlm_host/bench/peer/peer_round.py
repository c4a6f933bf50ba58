"""Measure one round: the same code and figures for every engine.

Names end in the unit: ``_s`` seconds, ``_tok_s`` tokens per second, ``_bytes``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.measurement import memory_bytes, peak_memory_bytes, print_figures, timed

_DECODE_STEPS = 24
_ENCODES = 3


@dataclass(frozen=True)
class Prompt:
    """The texts before and after an image, and the ids of each from the checkpoint's tokenizer (BOS in the first)."""

    before: str
    before_ids: list[int]
    after: str
    after_ids: list[int]


@dataclass(frozen=True)
class Job:
    """A round as plain data. ``files`` are the engine's own; ``pixels`` is a file of uint8 [N, S, S, 3], one image per prompt.

    If ``answers`` is set, all prompts are answered with at most this many tokens; otherwise the first prompt is measured.
    """

    files: list[str]
    pixels: str
    prompts: list[Prompt]
    threads: int
    context: int
    eos_id: int
    prefill_ids: list[int]
    answers: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data for :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Job:
        """The job with the values of :meth:`to_json`."""
        return cls(**values | {"prompts": [Prompt(**prompt) for prompt in values["prompts"]]})


class RoundEngine(Protocol):
    """One conversation in a KV cache. Pixels are uint8 [S, S, 3]."""

    def ids(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """The ids of the texts of ``prompt`` from the engine's own tokenizer, the first with BOS."""
        ...

    def encode(self, pixels: NDArray[np.uint8]) -> object:
        """The image's embeddings, without changing the KV cache."""
        ...

    def reset(self) -> None:
        """Clear the KV cache."""
        ...

    def feed(self, ids: list[int]) -> None:
        """Append token ids to the KV cache."""
        ...

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Append an image to the KV cache."""
        ...

    def generate(self, ids: list[int], max_new_tokens: int) -> list[int]:
        """Feed ``ids`` and decode greedily; returns the new ids without the end-of-text id."""
        ...


def measure(open_engine: Callable[[], RoundEngine], job: Job) -> dict[str, float]:
    """The figures of one round in this process, which must not have loaded the engine before.

    Raises:
        RunnerError: the engine fails, or its tokenizer returns other ids for the prompt than the checkpoint's.
    """
    pixels, prompt = np.load(job.pixels)[0], job.prompts[0]
    imports_bytes = memory_bytes()
    open_s, engine = timed(open_engine)
    _require_ids(engine, prompt, job)
    first_s = sum(_ask(engine, prompt, pixels))
    prepare_s, question_s = _ask(engine, prompt, pixels)
    # Engines defer work to the first question: packing weights, reading pages.
    put_off_s = max(0.0, first_s - prepare_s - question_s)
    prefill_s = min(_prefill(engine, job) for _ in range(2))
    decode_s, _ = timed(lambda: _decode(engine, job))
    peak_bytes = peak_memory_bytes()
    encode_s = statistics.median(timed(lambda: engine.encode(pixels))[0] for _ in range(_ENCODES))
    return {
        "load_s": open_s + put_off_s,
        "first_ttft_s": first_s,
        "ttft_s": prepare_s + question_s,
        "ttft_prepared_s": question_s,
        "image_encode_s": encode_s,
        "prefill_tok_s": len(job.prefill_ids) / prefill_s,
        "decode_tok_s": _DECODE_STEPS / decode_s,
        "peak_memory_bytes": peak_bytes,
        "own_memory_bytes": peak_bytes - imports_bytes,
    }


def answers(open_engine: Callable[[], RoundEngine], job: Job) -> list[list[int]]:
    """Token ids of the answers to all prompts; errors as :func:`measure`."""
    engine = open_engine()
    given = []
    for prompt, pixels in zip(job.prompts, np.load(job.pixels), strict=True):
        _require_ids(engine, prompt, job)
        _prepare(engine, prompt, pixels)
        given.append(engine.generate(prompt.after_ids, job.answers))
    return given


def run(open_engine: Callable[[Job], RoundEngine]) -> None:
    """The main function of a round's process, which reads its job from a file."""

    def figures(request: Mapping[str, str]) -> object:
        job = Job.from_json(json.loads(Path(request["job"]).read_text(encoding="utf-8")))
        if job.answers:
            return {"answers": answers(lambda: open_engine(job), job)}
        return measure(lambda: open_engine(job), job)

    print_figures(figures)


def _require_ids(engine: RoundEngine, prompt: Prompt, job: Job) -> None:
    got, expected = engine.ids(prompt), (prompt.before_ids, prompt.after_ids)
    if got != expected:
        raise RunnerError(f"{job.files[0]}: got ids {got} for the prompt from its tokenizer, expected {expected}")


def _ask(engine: RoundEngine, prompt: Prompt, pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Seconds to prepare the image, and seconds from the question to its first token."""
    prepare_s, _ = timed(lambda: _prepare(engine, prompt, pixels))
    question_s, _ = timed(lambda: engine.generate(prompt.after_ids, 1))
    return prepare_s, question_s


def _prepare(engine: RoundEngine, prompt: Prompt, pixels: NDArray[np.uint8]) -> None:
    engine.reset()
    engine.feed(prompt.before_ids)
    engine.show(pixels)


def _prefill(engine: RoundEngine, job: Job) -> float:
    engine.reset()
    return timed(lambda: engine.feed(job.prefill_ids))[0]


def _decode(engine: RoundEngine, job: Job) -> None:
    for token in job.prefill_ids[:_DECODE_STEPS]:
        engine.feed([token])
