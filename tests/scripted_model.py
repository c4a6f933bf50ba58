"""A model that answers at once with a known text, served on a real port."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import uvicorn

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_host.engines.methods import ComputedBy
from mobilevlm_host.serve.access import AccessRules
from mobilevlm_host.serve.answer_queue import AnswerQueue
from mobilevlm_host.serve.served_model import ServedAnswer, ServedModel, ServedQuestion
from mobilevlm_host.serve.web_app import web_app
from mobilevlm_host.serve.web_server import listen, server_config

WORDS = ["A", "red", "circle", "and", "two", "blue", "squares."]


@dataclass
class ScriptedModel:
    """Answers each question with ``WORDS``, or the question itself if it begins with "echo"."""

    pause_s: float = 0.0  # before each word
    name: str = "scripted"
    backend: str = "executorch"
    asked: list[ServedQuestion] = field(default_factory=list)
    stopped: int = 0  # answers that were cancelled

    engine = ComputedBy("executorch")
    spec: Any = field(default_factory=lambda: SimpleNamespace(config=MobileVLMConfig.tiny(), max_context=512))

    def require_room(self, question: ServedQuestion) -> None:
        """There is always room."""

    def answer(
        self, question: ServedQuestion, on_text: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> ServedAnswer:
        self.asked.append(question)
        text = question.turns[-1].question
        words = [text] if text.startswith("echo") else WORDS
        for number, word in enumerate(words):
            time.sleep(self.pause_s)
            if cancelled():
                self.stopped += 1
                break
            on_text(f" {word}" if number else word)
        return ServedAnswer(120, 40, len(words), "stop", len(self.asked) > 1, False, 0.42, 0.55, 21.5)


@contextmanager
def served_on_a_port(model: ServedModel | ScriptedModel, size: int = 16, **rules: Any) -> Iterator[str]:
    """The address of a server with ``model`` on a free port."""
    answers = AnswerQueue(model, size)
    with listen("127.0.0.1", 0) as listening:
        app = web_app(cast(ServedModel, model), answers, AccessRules("127.0.0.1", **rules), io.StringIO())
        server = uvicorn.Server(server_config(app))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            answers.close()
            server.should_exit = True
            thread.join()
