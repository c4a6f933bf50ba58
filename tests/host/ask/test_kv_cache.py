"""Whatever is asked in whatever order, the engine continues the prompt it is asked to, and is fed no more than it needs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.ask.kv_cache import KVCache, Part, PromptImage, token_count

_MAX_PREFILL, _IMAGE_TOKENS = 4, 9


class _Tape:
    """An engine whose tokens follow from all that is in its cache; it feeds a token when the next is computed."""

    def __init__(self, *, goes_back: bool = False) -> None:
        self.goes_back = goes_back
        self.tape: list[object] = []
        self.calls: list[str] = []
        self.is_broken = False

    def reset(self, keep: int = 0) -> int:
        kept = keep if self.goes_back else 0
        self.calls.append(f"keep {kept}" if kept else "reset")
        self.tape = self.tape[:kept]
        return kept

    def feed(self, ids: list[int]) -> None:
        assert 0 < len(ids) <= _MAX_PREFILL
        self.calls.append(f"feed {len(ids)}")
        self._append(ids)

    def show(self, pixels: Tensor) -> None:
        self.calls.append("show")
        self._append([id(pixels)] * _IMAGE_TOKENS)

    def generate(
        self, ids: list[int], max_new_tokens: int, temperature: float, on_token: Callable[[int], bool]
    ) -> None:
        for _ in range(max_new_tokens):
            self.feed(ids)
            ids = [hash(tuple(self.tape)) % 1000]
            if not on_token(ids[0]):
                break

    def _append(self, rows: Sequence[object]) -> None:
        if self.is_broken:
            self.tape = ["lost"]
            raise RunnerError("engine: it is broken")
        self.tape += rows


def _image() -> PromptImage:
    return PromptImage(torch.zeros(1), tokens=_IMAGE_TOKENS)


def _generate(cache: KVCache, prompt: Sequence[Part], count: int) -> list[int]:
    tokens: list[int] = []
    cache.generate(prompt, count, 0.0, lambda token: tokens.append(token) or True, lambda: False)  # type: ignore[func-returns-value]
    return tokens


def test_a_follow_up_feeds_only_what_is_new() -> None:
    engine, image = _Tape(), _image()
    cache = KVCache(engine, _MAX_PREFILL)
    assert cache.hold([1, 2, image]) > 0
    answer = _generate(cache, [1, 2, image, 3, 4], 3)
    assert engine.calls == ["reset", "feed 2", "show", "feed 2", "feed 1", "feed 1"]
    engine.calls.clear()
    assert cache.hold([1, 2, image, 3, 4, *answer, 5]) == 0
    assert engine.calls == ["feed 2"]  # the last of the answer, which no token was wanted after, and the next
    assert cache.reused_tokens == 2 + _IMAGE_TOKENS + 2 + len(answer) - 1


def test_prompts_are_fed_in_calls_of_at_most_a_prefill() -> None:
    engine, image = _Tape(), _image()
    _generate(KVCache(engine, _MAX_PREFILL), [*range(6), image, *range(9)], 1)
    assert engine.calls == ["reset", "feed 4", "feed 2", "show", "feed 4", "feed 4", "feed 1"]


def test_the_same_pixels_are_another_image() -> None:
    engine, image = _Tape(), _image()
    cache = KVCache(engine, _MAX_PREFILL)
    cache.hold([1, image])
    assert cache.hold([1, image]) == 0
    assert cache.hold([1, PromptImage(image.pixels, image.tokens)]) > 0
    assert engine.calls.count("show") == 2


def test_a_prompt_that_is_stopped_is_resumed() -> None:
    engine = _Tape()
    cache = KVCache(engine, _MAX_PREFILL)
    cache.generate(range(10), 3, 0.0, lambda token: True, lambda: len(engine.calls) > 1)
    assert engine.calls == ["reset", "feed 4"]
    assert _generate(cache, range(10), 1) == _generate(KVCache(_Tape(), _MAX_PREFILL), range(10), 1)
    assert engine.calls == ["reset", "feed 4", "feed 4", "feed 2"]


def test_the_cache_is_refilled_after_an_error_or_exclusive_use() -> None:
    engine = _Tape()
    cache = KVCache(engine, _MAX_PREFILL)
    expected = _generate(cache, [1, 2, 3], 2)
    engine.is_broken = True
    with pytest.raises(RunnerError):
        _generate(cache, [1, 2, 3, 4], 2)
    engine.is_broken = False
    assert _generate(cache, [1, 2, 3], 2) == expected
    with cache.exclusive_engine() as engine:
        engine.feed([7])
    assert _generate(cache, [1, 2, 3], 2) == expected


def test_an_engine_that_can_rewind_keeps_the_image_for_another_question() -> None:
    engine, image = _Tape(goes_back=True), _image()
    cache = KVCache(engine, _MAX_PREFILL)
    cache.hold([1, 2, image])
    first = _generate(cache, [1, 2, image, 3, 4], 3)
    engine.calls.clear()
    _generate(cache, [1, 2, image, 3, 5], 1)
    assert engine.calls == ["keep 11", "feed 2"]  # both ids again, in one call as from an empty cache
    assert _generate(cache, [1, 2, image, 3, 4], 3) == first
    engine.calls.clear()
    cache.hold([1, 2, _image()])
    assert engine.calls == ["keep 2", "show"]


@pytest.mark.parametrize("goes_back", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_any_order_gives_what_an_empty_cache_gives(seed: int, goes_back: bool) -> None:
    draw, engine = random.Random(seed), _Tape(goes_back=goes_back)
    cache, images = KVCache(engine, _MAX_PREFILL), [_image(), _image()]
    conversation: list[Part] = [1]
    for _ in range(60):
        kind = draw.randrange(6)
        if kind == 0:
            conversation = [1, draw.choice(images)]
        elif kind == 1:
            conversation = conversation[: draw.randint(1, len(conversation))]
        elif kind == 2:
            cache.hold(conversation)
            assert len(engine.tape) == token_count(conversation)
        elif kind == 3:
            engine.is_broken = True
            with pytest.raises(RunnerError):
                _generate(cache, [*conversation, 5], 2)
            engine.is_broken = False
        prompt = [*conversation, *(draw.randrange(9) for _ in range(draw.randint(1, 9)))]
        most = draw.randint(1, 6)
        answer = _generate(cache, prompt, most)
        assert answer == _generate(KVCache(_Tape(), _MAX_PREFILL), prompt, most)
        conversation = [*prompt, *answer[: draw.randint(0, most)]]


def test_an_image_counts_as_its_tokens() -> None:
    assert token_count([1, _image(), 2]) == 2 + _IMAGE_TOKENS
