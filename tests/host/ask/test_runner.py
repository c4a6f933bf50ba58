"""Both backends' runners say what the eager model says, and keep their conversation straight."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import PromptError, RunnerError
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.prompt import IMAGE, Turn
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.generation import Generation

NEW = 12


@pytest.fixture(scope="module", params=["tiny_bundle", "tiny_coreml_bundle"])
def runner(request: pytest.FixtureRequest) -> Runner:
    bundle: Bundle = request.getfixturevalue(request.param)
    return Runner(Bundle(bundle.path, bundle.manifest))


def _image(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))


def _engine(runner: Runner) -> Generation:
    assert runner._cache is not None
    return runner._cache._engine


def _expect_right(runner: Runner, seed: int) -> None:
    """Asked again, ``runner`` says what the eager model says."""
    list(runner.ask(_image(seed), "What is this?", max_new_tokens=NEW))
    assert runner.answer.token_ids == _eager(runner, _image(seed), *_ask_ids(runner.tokenizer, "What is this?"))


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
    assert runner.stats.prompt_tokens == len(_ask_ids(runner.tokenizer, question)) + 4 + len(runner._before_image)


def test_special_tokens_in_an_answer_are_not_shown(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    words = runner.tokenizer.encode("a red circle")
    ids = [1, *words[:2], 1, 0, *words[2:], 2]
    monkeypatch.setattr(_engine(runner), "generate", lambda *given: [given[-1](token) for token in ids])
    pieces = list(runner.ask(_image(1), "What is this?"))
    assert "".join(pieces) == runner.answer.text == "a red circle"
    assert (runner.answer.token_ids, runner.answer.stop_reason) == (ids[:-1], "eos")


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


def test_the_prompts_texts_come_from_the_manifest(tiny_bundle: Bundle) -> None:
    texts = {"before_image": "A chat. USER: ", "after_image": " {question} ASSISTANT: ", "follow_up": "and {question}"}
    values = dict(tiny_bundle.manifest.values) | {"prompt": tiny_bundle.manifest.values["prompt"] | texts}
    with Runner(Bundle(tiny_bundle.path, replace(tiny_bundle.manifest, values=values))) as runner:
        tokenizer = runner.tokenizer
        list(runner.ask(_image(1), "What is this?", max_new_tokens=5))
        begin, said = [1, *tokenizer.encode("A chat. USER: ")], tokenizer.encode(" What is this? ASSISTANT: ")
        pixels = preprocess(_image(1), runner.config)
        assert runner.answer.token_ids == random_model().generate([begin, pixels, said], 5)
        said += [*runner.answer.token_ids, 2, *tokenizer.encode("and why?")]
        list(runner.follow_up("why?", max_new_tokens=5))
        assert runner.answer.token_ids == random_model().generate([begin, pixels, said], 5)


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


@pytest.mark.parametrize(
    ("max_new_tokens", "temperature", "said"),
    [
        (0, 0.0, "max_new_tokens: got 0, expected at least 1"),
        (-1, 0.0, "max_new_tokens: got -1, expected at least 1"),
        (4, math.nan, "temperature: got nan, expected 0 (greedy) to 1"),
        (4, math.inf, "temperature: got inf, expected 0 (greedy) to 1"),
        (4, -0.5, "temperature: got -0.5, expected 0 (greedy) to 1"),
        (4, 1.5, "temperature: got 1.5, expected 0 (greedy) to 1"),
    ],
)
def test_limits_that_no_answer_can_have_are_refused_before_anything_runs(
    runner: Runner, max_new_tokens: int, temperature: float, said: str
) -> None:
    with pytest.raises(RunnerError) as caught:
        runner.ask(_image(1), "What is this?", max_new_tokens=max_new_tokens, temperature=temperature)
    assert str(caught.value) == said


def test_an_answer_streams_pieces_and_ends(runner: Runner) -> None:
    list(runner.ask(_image(1), "What is this?", max_new_tokens=NEW, temperature=1.0))
    ids = runner.answer.token_ids
    assert ids is not None
    assert all(0 <= token < runner.tokenizer.vocab_size for token in ids)
    assert ids[:1] == _eager(runner, _image(1), *_ask_ids(runner.tokenizer, "What is this?"))[:1]


def test_stop_from_another_thread(runner: Runner) -> None:
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=120)
    next(pieces)
    stopper = threading.Thread(target=runner.stop)
    stopper.start()
    list(pieces)
    stopper.join()
    assert runner.answer.stop_reason in ("stopped", "length")
    _expect_right(runner, 1)


@pytest.mark.parametrize(("during", "tokens"), [("ask", 0), ("reset", 0), ("feed", 0), ("show", 0), ("generate", 1)])
def test_a_stop_before_the_first_token_is_honored(
    runner: Runner, during: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.forget()  # so that everything is fed
    if during != "ask":
        call = getattr(_engine(runner), during)
        monkeypatch.setattr(_engine(runner), during, lambda *given: (runner.stop(), call(*given))[1])
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=120)
    if during == "ask":
        runner.stop()
    text = "".join(pieces)
    assert (runner.answer.text, runner.answer.stop_reason) == (text, "stopped")
    assert len(runner.answer.token_ids or ()) == runner.stats.generated_tokens == tokens
    monkeypatch.undo()
    if tokens:
        said = [*_ask_ids(runner.tokenizer, "What is this?"), *(runner.answer.token_ids or ())]
        list(runner.follow_up("Why?", max_new_tokens=NEW))
        said += prompt.follow_up_ids(runner.tokenizer, "Why?")
        assert runner.answer.token_ids == _eager(runner, _image(1), *said)
    else:
        with pytest.raises(RunnerError, match=r"expected a call of ask"):
            runner.follow_up("Why?")
        list(runner.ask_prepared("What is this?", max_new_tokens=NEW))
        assert runner.answer.token_ids == _eager(runner, _image(1), *_ask_ids(runner.tokenizer, "What is this?"))


def test_an_unread_answer_leaves_the_runner_free(runner: Runner) -> None:
    dropped = runner.ask(_image(1), "What is this?")
    del dropped
    runner.ask(_image(1), "What is this?").close()
    overtaken = runner.ask(_image(2), "What is this?", max_new_tokens=NEW)
    _expect_right(runner, 1)
    list(overtaken)
    assert runner.answer.token_ids == _eager(runner, _image(2), *_ask_ids(runner.tokenizer, "What is this?"))


def test_a_follow_up_continues_what_was_read_of_an_abandoned_answer(runner: Runner) -> None:
    asked = _ask_ids(runner.tokenizer, "What is this?")
    answer = _eager(runner, _image(1), *asked, new=60)
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=60)
    next(pieces)
    pieces.close()
    read = len(runner._conversation) - len(runner._before_image) - 1 - len(asked)
    assert 0 < read < 60
    list(runner.follow_up("Why?", max_new_tokens=NEW))
    said = [*asked, *answer[:read], *prompt.follow_up_ids(runner.tokenizer, "Why?")]
    assert runner.answer.token_ids == _eager(runner, _image(1), *said)


def test_only_one_thread_is_let_in(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    show = _engine(runner).show

    def slow(pixels: torch.Tensor) -> None:
        inside.set()
        assert go_on.wait(60)
        show(pixels)

    monkeypatch.setattr(_engine(runner), "show", slow)
    begun_elsewhere = runner.ask(_image(2), "What is this?")
    other = threading.Thread(target=lambda: list(runner.ask(_image(1), "What is this?", max_new_tokens=NEW)))
    other.start()
    assert inside.wait(60)
    for call in (
        lambda: runner.ask(_image(2), "What is this?"),
        lambda: runner.ask_prepared("What is this?"),
        lambda: runner.follow_up("What is this?"),
        lambda: runner.prepare(_image(2)),
        lambda: next(begun_elsewhere),
    ):
        with pytest.raises(RunnerError, match="got a call during an answer"):
            call()
    go_on.set()
    other.join()
    assert runner.answer.token_ids == _eager(runner, _image(1), *_ask_ids(runner.tokenizer, "What is this?"))


def test_an_engine_that_fails_is_one_line_and_loses_nothing(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    list(runner.ask(_image(1), "What is this?", max_new_tokens=5))
    said = [*_ask_ids(runner.tokenizer, "What is this?"), *(runner.answer.token_ids or ())]
    said += prompt.follow_up_ids(runner.tokenizer, "Why?")
    generate = _engine(runner).generate

    def failing(ids, new, temperature, on_token):  # type: ignore[no-untyped-def]
        generate(ids, 2, temperature, on_token)
        raise ValueError("got the sky,\nfallen")

    monkeypatch.setattr(_engine(runner), "generate", failing)
    with pytest.raises(RunnerError, match=r"^engine: got the sky,$"):
        list(runner.follow_up("Why?", max_new_tokens=5))
    with pytest.raises(RunnerError, match="got no finished answer"):
        _ = runner.answer
    monkeypatch.undo()
    list(runner.follow_up("Why?", max_new_tokens=5))
    assert runner.answer.token_ids == _eager(runner, _image(1), *said, new=5)


@pytest.mark.parametrize("call", ["feed", "show", "generate"])
def test_what_the_cpp_engine_cannot_run_is_one_line(tiny_bundle: Bundle, call: str) -> None:
    too_many = [5] * (tiny_bundle.manifest.max_prefill + 1)
    given = {
        "feed": (too_many,),
        "show": (torch.zeros(3, 20, 20, dtype=torch.uint8),),
        "generate": (too_many, 4, 0.0, lambda token: True),
    }
    with Runner(tiny_bundle) as runner, runner.exclusive_engine() as engine:
        with pytest.raises(RunnerError, match=r"model.pte: the engine can't run it \(.+\)$") as caught:
            getattr(engine, call)(*given[call])
        assert "\n" not in str(caught.value)


def test_an_unread_answer_ends_when_it_is_dropped(runner: Runner) -> None:
    pieces = runner.ask(_image(1), "What is this?", max_new_tokens=100)
    next(pieces)
    with pytest.raises(RunnerError, match="got a call during an answer"):
        runner.ask(_image(1), "What is this?")
    pieces.close()
    _expect_right(runner, 2)


def test_the_engines_output_is_hidden(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    for piece in runner.ask(_image(1), "What is this?", max_new_tokens=NEW):
        print(f"[{piece}]")
    captured = capfd.readouterr()
    assert captured.out.count("[") == captured.out.count("]") > 0
    assert "PyTorchObserver" not in captured.out + captured.err


def test_a_closed_runner_answers_nothing(tiny_bundle: Bundle) -> None:
    with Runner(tiny_bundle) as opened:
        begun_too_late = opened.ask(_image(1), "What is this?")
    opened.stop()
    opened.close()
    for call in (
        lambda: opened.ask(_image(1), "What is this?"),
        lambda: opened.prepare(_image(1)),
        lambda: next(begun_too_late),
    ):
        with pytest.raises(RunnerError, match="closed"):
            call()


def test_closing_stops_a_partly_read_answer(tiny_bundle: Bundle) -> None:
    with Runner(tiny_bundle) as runner:
        pieces = runner.ask(_image(1), "What is this?", max_new_tokens=140)
        first = next(pieces)
        engine = weakref.ref(_engine(runner))
    assert engine() is None
    text = first + "".join(pieces)
    assert runner.answer.text == text
    with Runner(tiny_bundle) as runner:
        pieces = runner.ask(_image(1), "What is this?", max_new_tokens=140)
        next(pieces)
    del pieces


def test_a_process_may_end_during_an_answer(tiny_bundle: Bundle) -> None:
    code = """if True:
        import sys
        from PIL import Image
        from mobilevlm_host import Bundle, Runner

        runner = Runner(Bundle.open(sys.argv[1]))
        unread = runner.ask(Image.new("RGB", (9, 9)), "What is this?", max_new_tokens=140)
        pieces = runner.ask(Image.new("RGB", (9, 9)), "What is this?", max_new_tokens=140)
        print(len(next(pieces)))
    """
    command = [sys.executable, "-c", code, str(tiny_bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
