"""The demo's programs of all backends on this machine: each engine gives the same token ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.android.android_methods import AndroidMethods
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.ask.conversation import Conversation
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.parity.check import default_samples
from mobilevlm_host.records.golden import check_golden

pytestmark = pytest.mark.thorough
OTHERS = ("coreml", "coreai", "android")
SAMPLES = default_samples()[:20]
MAX_NEW_TOKENS = 48


@pytest.fixture
def android(request: pytest.FixtureRequest) -> AndroidHost | None:
    """Android's engine, if the test's parameter asks for it."""
    asked: str = request.getfixturevalue("engine")
    return request.getfixturevalue("x86_64") if asked == "android" else None


@pytest.fixture(scope="module")
def expected(demo_for_all_backends: Bundle) -> list[list[int]]:
    """ExecuTorch's answers."""
    with Runner(demo_for_all_backends, backend="executorch") as runner:
        return _answers(runner)


@pytest.mark.parametrize("engine", OTHERS)
def test_golden_records_of_executorch_are_reproduced(
    demo_for_all_backends: Bundle, engine: str, android: AndroidHost | None
) -> None:
    replays = check_golden(demo_for_all_backends, backend=None if android else engine, android=android)
    assert {name: replay.differs for name, replay in replays.items()} == dict.fromkeys(replays, "none")


@pytest.mark.parametrize("engine", OTHERS)
def test_twenty_answers_have_executorchs_ids(
    demo_for_all_backends: Bundle, engine: str, android: AndroidHost | None, expected: list[list[int]]
) -> None:
    with _opened(demo_for_all_backends, engine, android) as conversation:
        assert _answers(conversation) == expected


@contextmanager
def _opened(bundle: Bundle, engine: str, android: AndroidHost | None) -> Iterator[Conversation]:
    with Runner(bundle, backend="executorch" if android else engine) as runner:
        if not android:
            yield runner
            return
        with AndroidMethods(bundle, android) as methods:
            pieces, prefill = runner.tokenizer.vocab_size, runner.manifest.max_prefill
            yield Conversation(MethodsGeneration(methods, pieces=pieces, max_prefill=prefill), runner.spec)


def _answers(conversation: Conversation) -> list[list[int]]:
    return [conversation.answer_ids(sample.image, sample.question, MAX_NEW_TOKENS) for sample in SAMPLES]
