"""One engine for many: in order, bounded, and free again when a client goes or the engine fails."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from mobilevlm_export.errors import RunnerError
from mobilevlm_export.prompt import Turn
from mobilevlm_host.serve.answer_queue import AnswerQueue, Event
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.served_model import ServedAnswer, ServedQuestion

DONE = ServedAnswer(5, 0, 1, "stop", False, False, 0.1, 0.2, 5.0)


class _Echo:
    """Answers with the question, once it is let."""

    def __init__(self) -> None:
        self.may, self.asked, self.started = threading.Semaphore(0), list[str](), threading.Semaphore(0)

    def answer(
        self, question: ServedQuestion, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> ServedAnswer:
        text = question.turns[-1].question
        self.asked.append(text)
        self.started.release()
        while not self.may.acquire(timeout=0.01):
            if cancelled():
                return DONE
        if text == "break":
            raise RunnerError("engine: it is broken")
        on_text(text)
        return DONE


@pytest.fixture
def echo() -> _Echo:
    return _Echo()


@pytest.fixture
def answers(echo: _Echo) -> Iterator[AnswerQueue]:
    answers = AnswerQueue(echo, size=2)
    yield answers
    answers.close()


def _question(text: str) -> ServedQuestion:
    return ServedQuestion(torch.zeros(3, 2, 2, dtype=torch.uint8), (Turn(text),))


def test_questions_are_answered_in_order(answers: AnswerQueue, echo: _Echo) -> None:
    events: queue.Queue[Event] = queue.Queue()
    for text in ("a", "b", "c"):
        answers.submit(_question(text), events.put)
        if text == "a":
            echo.started.acquire()
    with pytest.raises(ApiError, match="got a question while 2 wait") as full:
        answers.submit(_question("d"), events.put)
    assert full.value.status == 429
    assert int(full.value.headers["Retry-After"]) >= 1
    echo.may.release(3)
    assert [events.get(timeout=5) for _ in range(6)] == ["a", DONE, "b", DONE, "c", DONE]


def test_a_cancelled_question_frees_its_place(answers: AnswerQueue, echo: _Echo) -> None:
    events: queue.Queue[Event] = queue.Queue()
    running = answers.submit(_question("a"), events.put)
    echo.started.acquire()
    waiting = answers.submit(_question("b"), events.put)
    answers.submit(_question("c"), events.put)
    answers.cancel(waiting)
    answers.cancel(running)
    echo.started.acquire()
    echo.may.release()
    assert [events.get(timeout=5) for _ in range(2)] == ["c", DONE]
    assert echo.asked == ["a", "c"]


def test_an_engine_that_fails_answers_the_next_question(answers: AnswerQueue, echo: _Echo) -> None:
    events: queue.Queue[Event] = queue.Queue()
    echo.may.release(2)
    answers.submit(_question("break"), events.put)
    answers.submit(_question("a"), events.put)
    error = events.get(timeout=5)
    assert isinstance(error, ApiError)
    assert (error.status, str(error)) == (500, "engine: engine: it is broken")
    assert events.get(timeout=5) == "a"


def test_stopping_ends_every_question(answers: AnswerQueue, echo: _Echo) -> None:
    events: queue.Queue[Event] = queue.Queue()
    answers.submit(_question("a"), events.put)
    echo.started.acquire()
    answers.submit(_question("b"), events.put)
    answers.close()
    ended = [events.get(timeout=5) for _ in range(2)]
    assert [isinstance(event, ApiError) and event.status for event in ended] == [503, 503]
    with pytest.raises(ApiError, match="stopping"):
        answers.submit(_question("c"), events.put)
