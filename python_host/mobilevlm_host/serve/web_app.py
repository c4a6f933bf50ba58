"""The server's paths: OpenAI's API, what tools ask about the model, what monitoring reads, and the page."""

from __future__ import annotations

import time
from typing import Any, TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mobilevlm_export import __version__
from mobilevlm_host.serve.access import Access, AccessRules
from mobilevlm_host.serve.answer_queue import AnswerQueue
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.camera_page import page_routes
from mobilevlm_host.serve.chat_endpoint import ChatEndpoint
from mobilevlm_host.serve.served_model import ServedModel
from mobilevlm_host.serve.server_metrics import CONTENT_TYPE, ServerMetrics


def web_app(
    model: ServedModel, answers: AnswerQueue, rules: AccessRules, log: TextIO, *, fetch_images: bool = False
) -> Access:
    """The ASGI application for ``model``, whose questions go through ``answers``. It logs to ``log``; ``fetch_images`` lets requests
    name pictures by http.
    """
    metrics, created = ServerMetrics(), int(time.time())
    card = {"id": model.name, "object": "model", "created": created, "owned_by": "mobilevlm-kit"}

    def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [card]})

    def one_model(request: Request) -> Response:
        if request.path_params["name"] != model.name:
            error = ApiError(404, f"model: expected {model.name!r}", code="model_not_found", param="model")
            return JSONResponse(error.to_json(), 404)
        return JSONResponse(card)

    def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def props(request: Request) -> Response:
        return JSONResponse(_props(model))

    def figures(request: Request) -> Response:
        text = metrics.text(answers.waiting, answers.is_running)
        return PlainTextResponse(text, headers={"Content-Type": CONTENT_TYPE})

    endpoint = ChatEndpoint(model, answers, metrics, fetch_images=fetch_images)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", endpoint, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route("/health", health),
            Route("/props", props),
            Route("/metrics", figures),
            *page_routes(),
        ],
        exception_handlers={HTTPException: _no_such_path, Exception: _failed},
    )
    return Access(app, rules, log)


def _props(model: ServedModel) -> dict[str, Any]:
    """What the server has loaded, by llama.cpp's names, and the engine that computes it."""
    return {
        "model_alias": model.name,
        "modalities": {"vision": True, "audio": False},
        "total_slots": 1,
        "default_generation_settings": {"n_ctx": model.spec.max_context},
        "build_info": f"mobilevlm-kit {__version__}",
        "backend": model.backend,
        "engine": model.engine.engine,
        "shows": model.engine.shows,
    }


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    got = f"{request.method} {request.url.path}"
    refusal = ApiError(error.status_code, f"got {got:.100}: {error.detail}", code="no_such_path", headers=error.headers)
    return JSONResponse(refusal.to_json(), refusal.status, refusal.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse(
        ApiError(500, f"the server failed ({type(error).__name__})", code="server_failed").to_json(), 500
    )
