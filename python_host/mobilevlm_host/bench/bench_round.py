"""One round of ``mvlm bench`` in a fresh process: load a bundle, ask it, and print figures as one JSON object.

Names end in the unit: ``_s`` seconds, ``_tok_s`` tokens per second, ``_bytes``. After ``@`` comes the length in tokens, or the method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL.Image import Image

from mobilevlm_export.bundle.manifest import MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.pixels import open_image, preprocess
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.bench.load_round import has_mapped_weights, since_start_s
from mobilevlm_host.bench.measurement import (
    Figures,
    in_child,
    memory_bytes,
    peak_memory_bytes,
    print_figures,
    private_memory_bytes,
    timed,
)
from mobilevlm_host.engines.cpp_runner import import_engine
from mobilevlm_host.engines.executorch import thread_count
from mobilevlm_host.engines.generation import Generation
from mobilevlm_host.engines.native_output import native_output_hidden

QUESTION = "What is in this picture? Describe it in detail."
ANSWER_TOKENS = 32  # in the answer for which methods' shares are given
_STEPS = 16  # tokens decoded at each context
_SHORTEST_PREFILL, _SHORTEST_CONTEXT = 32, 64


@dataclass(frozen=True)
class Session:
    """The subject of a round: a bundle's folder, whose hashes are already verified, and an image file."""

    bundle: str
    backend: str
    threads: int | None
    image: str

    def in_child(self) -> Figures:
        """The figures of one round in a fresh process; errors as :func:`mobilevlm_host.bench.measurement.in_child`."""
        return in_child(__name__, asdict(self))


def measure(session: Session) -> dict[str, float]:
    """The figures of one round in this process.

    Raises:
        MobileVLMError: the bundle, its engine or the image can't be used.
    """
    folder = Path(session.bundle)
    image = open_image(session.image)
    bundle = Bundle(folder, read_manifest(folder / MANIFEST))
    if session.backend == "executorch":
        import_engine()
    figures = {"imports_s": since_start_s()}
    imports_bytes, private_bytes = memory_bytes(), private_memory_bytes()
    load_s, runner = timed(Runner, bundle, threads=session.threads, backend=session.backend)
    with runner:
        first = _ask(runner, image)
        # Read here, because the following measurements use lengths that questions rarely have.
        peak_bytes, private_bytes = peak_memory_bytes(), private_memory_bytes() - private_bytes
        figures |= {"load_s": load_s, "first_ttft_s": first["ttft_s"], **_ask(runner, image)}
        figures |= {"peak_memory_bytes": peak_bytes, "imports_memory_bytes": imports_bytes}
        figures |= {"private_memory_bytes": private_bytes}
        figures |= {"weights_mapped": float(session.backend == "executorch" and has_mapped_weights(bundle))}
        figures |= {"threads": thread_count() if session.backend == "executorch" else torch.get_num_threads()}
        # C++ prints at each call. Hide its output once for all calls, not within the timed ones.
        with runner.exclusive_engine() as engine, native_output_hidden():
            figures |= dict(_prefill(runner, engine))
            figures |= dict(_decode(runner, engine))
    return figures | dict(_methods(runner, image))


def _ask(runner: Runner, image: Image) -> dict[str, float]:
    """Time to the first token, for a prepared image and including its preparation, which is all that a direct question adds."""
    prepare_s, _ = timed(runner.prepare, image)
    for _ in runner.ask_prepared(QUESTION, max_new_tokens=1):
        pass
    prepared_s = runner.stats.prefill_s
    return {"image_encode_s": prepare_s, "ttft_s": prepare_s + prepared_s, "ttft_prepared_s": prepared_s}


def _prefill(runner: Runner, engine: Generation) -> Iterator[tuple[str, float]]:
    """Tokens per second at the start of a context, by the number of tokens fed in one call."""
    for length in doublings(_SHORTEST_PREFILL, runner.manifest.max_prefill):
        engine.reset()
        seconds, _ = timed(engine.feed, token_ids(runner, length))
        yield f"prefill_tok_s@{length}", length / seconds


def _decode(runner: Runner, engine: Generation) -> Iterator[tuple[str, float]]:
    """Tokens per second when fed one by one, as in decoding, by the length of the context before them."""
    for context in fill_contexts(runner, engine, _SHORTEST_CONTEXT, _STEPS):
        seconds = sum(timed(engine.feed, [token])[0] for token in token_ids(runner, _STEPS))
        yield f"decode_tok_s@{context}", _STEPS / seconds


def fill_contexts(runner: Runner, engine: Generation, first: int, steps: int) -> Iterator[int]:
    """Fill the KV cache of ``engine`` to ``first`` tokens, its doublings, and the most that leaves room for ``steps`` more.

    Yields each length; the caller then feeds ``steps`` tokens.
    """
    position = 0
    engine.reset()
    for context in doublings(first, runner.manifest.max_context - steps):
        while position < context:
            fed = min(runner.manifest.max_prefill, context - position)
            engine.feed(token_ids(runner, fed))
            position += fed
        yield context
        position += steps


def _methods(runner: Runner, image: Image) -> Iterator[tuple[str, float]]:
    """Seconds that each method takes in a question about an image with an answer of ANSWER_TOKENS."""
    methods, config = runner.methods(), runner.config
    question = torch.tensor([runner.tokenizer.encode(QUESTION)])
    one = question[:, :1]
    pixels = preprocess(image, config)[None]
    for _ in range(2):  # the first run warms up
        encode_s, (embeds, _) = timed(methods.vision_encoder, pixels)
        embed_s, question_embeds = timed(methods.token_embedding, question)
        token_s, token = timed(methods.token_embedding, one)
        image_s, _ = timed(methods.text_decoder, embeds, 0)
        at = embeds.shape[1]
        question_s, _ = timed(methods.text_decoder, question_embeds, at)
        at += question_embeds.shape[1]
        step_s = sum(timed(methods.text_decoder, token, at + step)[0] for step in range(_STEPS)) / _STEPS
    yield "method_s@preprocess", timed(preprocess, image, config)[0]
    yield "method_s@vision_encoder", encode_s
    yield "method_s@token_embedding", embed_s + ANSWER_TOKENS * token_s
    yield "method_s@text_decoder, prefill", image_s + question_s
    yield "method_s@text_decoder, decode", ANSWER_TOKENS * step_s


def doublings(first: int, limit: int) -> list[int]:
    """``first`` and its doublings below ``limit``, and ``limit``."""
    lengths = []
    while first < limit:
        lengths.append(first)
        first *= 2
    return [*lengths, limit]


def token_ids(runner: Runner, count: int) -> list[int]:
    """Token ids from the whole vocabulary; their choice doesn't affect the time."""
    return [(7919 * at) % runner.tokenizer.vocab_size for at in range(1, count + 1)]


if __name__ == "__main__":
    print_figures(lambda request: measure(Session(**request)))
