"""The tiny model behind the application."""

from __future__ import annotations

import gc
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest
from starlette.testclient import TestClient

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.serve.access import AccessRules
from mobilevlm_host.serve.answer_queue import AnswerQueue
from mobilevlm_host.serve.served_model import ServedModel
from mobilevlm_host.serve.web_app import web_app


class Served(Protocol):
    def __call__(self, **rules: Any) -> AbstractContextManager[TestClient]: ...


@pytest.fixture(autouse=True)
def _reset_connections_are_collected() -> Iterator[None]:
    """asyncio leaves sockets of connections that a client has reset to the collector, which warns in a later test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def served(tiny_bundle: Bundle) -> Served:
    """Serves the tiny model, with access rules if given."""

    @contextmanager
    def serve(**rules: Any) -> Iterator[TestClient]:
        model = ServedModel.open(tiny_bundle)
        answers = AnswerQueue(model, size=4)
        log = io.StringIO()
        app = web_app(model, answers, AccessRules("127.0.0.1", **rules), log)
        try:
            with TestClient(app, base_url="http://127.0.0.1:8000") as client:
                client.log = log  # type: ignore[attr-defined]
                yield client
        finally:
            answers.close()

    return serve


@pytest.fixture
def client(served: Served) -> Iterator[TestClient]:
    with served() as client:
        yield client


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(client: TestClient) -> Ask:
    """Posts a chat request; returns the response's JSON."""

    def post(**request: Any) -> dict[str, Any]:
        return client.post("/v1/chat/completions", json=request).json()

    return post
