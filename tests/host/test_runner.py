"""Both backends' runners say what the eager model says, and keep their conversation straight."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from PIL import Image
from tiny import random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle import Bundle
from mobilevlm_export.errors import PromptError, RunnerError
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.prompt import IMAGE, Turn
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.runner import Runner

NEW = 12


@pytest.fixture(scope="module", params=["tiny_bundle", "tiny_coreml_bundle"])
def runner(request: pytest.FixtureRequest) -> Runner:
    bundle: Bundle = request.getfixturevalue(request.param)
    return Runner(Bundle(bundle.path, bundle.manifest))


def _image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))


def _eager(runner: Runner, image: Image.Image, *ids_after_image: int, new: int = NEW) -> list[int]:
    """The eager model's greedy ids after the constant prompt, ``image`` and ``ids_after_image``."""
    model = random_model()
    begin = [runner.tokenizer.bos_id, *runner.tokenizer.encode(prompt.prefix())]
    return model.generate([begin, preprocess(image, model.config), list(ids_after_image)], new)


def _ask_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    segments = prompt.encode_segments(tokenizer, [Turn(question)])
    return list(segments[segments.index(IMAGE) + 1])  # type: ignore[arg-type]


@pytest.mark.parametrize("question", ["What is this?", "这是什么？ 😀", "a " * 60])
def test_answers_are_the_eager_models(runner: Runner, question: str) -> None:
    pieces = list(runner.ask(_image(1), question, max_new_tokens=NEW))
    expected = _eager(runner, _image(1), *_ask_ids(runner.tokenizer, question))
    assert runner.answer.token_ids == expected
    assert "".join(pieces) == runner.answer.text
    # How many marks stand for bytes that are no character is each decoder's choice.
    shown, decoded = (re.sub("\ufffd+", "?", text) for text in (runner.answer.text, runner.tokenizer.decode(expected)))
    assert shown == decoded
    assert runner.answer.stop_reason == ("length" if len(expected) == NEW else "eos")
    assert runner.stats.generated_tokens == len(expected)
    assert runner.stats.prompt_tokens == len(_ask_ids(runner.tokenizer, question)) + 4 + len(runner._prefix)


def test_images_do_not_leak_into_each_other(runner: Runner) -> None:
    answers = {}
    for seed in (1, 2, 3, 2, 1):
        list(runner.ask(_image(seed), "What is this?", max_new_tokens=NEW))
        assert answers.setdefault(seed, runner.answer.token_ids) == runner.answer.token_ids
    assert len({tuple(ids) for ids in answers.values()}) == 3


def test_a_prepared_image_gives_the_same_answer(runner: Runner) -> None:
    list(runner.ask(_image(1), "What is this?", max_new_tokens=NEW))
    expected = runner.answer
    runner.prepare(_image(1))
    for _ in range(2):
        list(runner.ask_prepared("What is this?", max_new_tokens=NEW))
        assert runner.answer == expected


def test_follow_ups_keep_the_conversation(runner: Runner) -> None:
    said = _ask_ids(runner.tokenizer, "What is this?")
    list(runner.ask(_image(1), "What is this?", max_new_tokens=5))
    for question in ("How many?", "Why?"):
        answer = runner.answer.token_ids
        assert answer is not None
        said += [*answer, *prompt.follow_up_ids(runner.tokenizer, question)]
        list(runner.follow_up(question, max_new_tokens=5))
        assert runner.answer.token_ids == _eager(runner, _image(1), *said, new=5)
        assert runner.stats.image_encode_s == 0


def test_what_does_not_fit_is_refused_before_it_runs(runner: Runner) -> None:
    with pytest.raises(RunnerError, match=r"got a prompt of \d+ tokens and up to 250 new ones, expected at most 256"):
        runner.ask(_image(1), "What is this?", max_new_tokens=250)
    with pytest.raises(RunnerError, match="expected at most 256 together"):
        runner.ask(_image(1), "word " * 300, max_new_tokens=1)
    with pytest.raises(PromptError, match="got an empty text"):
        runner.ask(_image(1), "  ")
    list(runner.ask(_image(1), "What is this?", max_new_tokens=NEW))
    with pytest.raises(RunnerError, match="expected at most 256 together"):
        runner.follow_up("and?", max_new_tokens=200)


def test_stop_from_another_thread(runner: Runner) -> None:
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=120)
    next(pieces)
    stopper = threading.Thread(target=runner.stop)
    stopper.start()
    list(pieces)
    stopper.join()
    assert runner.answer.stop_reason in ("stopped", "length")
    list(runner.ask(_image(1), "What is this?", max_new_tokens=NEW))
    assert runner.answer.token_ids == _eager(runner, _image(1), *_ask_ids(runner.tokenizer, "What is this?"))


def test_an_unread_answer_ends_when_it_is_dropped(runner: Runner) -> None:
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=100)
    next(pieces)
    with pytest.raises(RunnerError, match="still answering"):
        runner.ask(_image(1), "What is this?")
    pieces.close()  # type: ignore[attr-defined]
    list(runner.ask(_image(2), "What is this?", max_new_tokens=NEW))
    assert runner.answer.token_ids == _eager(runner, _image(2), *_ask_ids(runner.tokenizer, "What is this?"))


def test_the_engines_prints_stay_away(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    for piece in runner.ask(_image(1), "What is this?", max_new_tokens=NEW):
        print(f"[{piece}]")
    captured = capfd.readouterr()
    assert captured.out.count("[") == captured.out.count("]") > 0
    assert "PyTorchObserver" not in captured.out + captured.err


def test_a_closed_runner_and_a_missing_artifact(tiny_bundle: Bundle) -> None:
    bundle = Bundle(tiny_bundle.path, tiny_bundle.manifest)
    with Runner(bundle) as opened:
        pass
    with pytest.raises(RunnerError, match="closed"):
        opened.ask(_image(1), "What is this?")
