"""``POST /v1/chat/completions``: from the request's bytes to the streamed answer, and the end of both when the client goes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from mobilevlm_host.serve.answer_queue import AnswerQueue, Event, Ticket
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.chat_request import ChatRequest, read_chat_request
from mobilevlm_host.serve.chat_response import ChatResponse, sent_event
from mobilevlm_host.serve.request_body import ClientGone, read_body
from mobilevlm_host.serve.request_image import read_pixels
from mobilevlm_host.serve.served_model import ServedAnswer, ServedModel, ServedQuestion
from mobilevlm_host.serve.server_metrics import ServerMetrics

_LARGE_BODIES = 8  # read at a time: what they hold is bounded
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class ChatEndpoint:
    """An ASGI application that answers chat requests with ``model`` by way of ``answers``."""

    def __init__(self, model: ServedModel, answers: AnswerQueue, metrics: ServerMetrics, *, fetch_images: bool) -> None:
        self._model, self._answers, self._metrics, self._fetch_images = model, answers, metrics, fetch_images
        self._large_bodies, self._decoding = asyncio.Semaphore(_LARGE_BODIES), asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            async with AsyncExitStack() as held:

                async def grow() -> None:
                    await held.enter_async_context(self._large_bodies)

                body = await read_body(receive, Headers(scope=scope).get("content-length"), grow)
                request = await run_in_threadpool(read_chat_request, body)  # megabytes of JSON would block the others
                question = await self._question(request)
            await self._answer(request, question, receive, send)
        except ClientGone:
            self._metrics.count_cancelled()
        except ApiError as error:
            self._metrics.count_request(error.status)
            response = JSONResponse(error.to_json(), error.status, error.headers)
            await response({"type": "http", "method": "POST"}, receive, send)

    async def _question(self, request: ChatRequest) -> ServedQuestion:
        if request.model != self._model.name:
            raise ApiError(
                404,
                f"model: got {request.model!r:.80}, expected {self._model.name!r}",
                code="model_not_found",
                param="model",
            )
        async with self._decoding:  # a large picture takes hundreds of megabytes for a moment
            return await run_in_threadpool(self._checked_question, request)

    def _checked_question(self, request: ChatRequest) -> ServedQuestion:
        pixels = read_pixels(request.image_url, self._model.spec.config, may_fetch=self._fetch_images)
        question = ServedQuestion(pixels, request.turns, request.max_tokens, request.temperature, request.stop)
        self._model.require_room(question)
        return question

    async def _answer(self, request: ChatRequest, question: ServedQuestion, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | ClientGone] = asyncio.Queue()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: the server has stopped
                loop.call_soon_threadsafe(events.put_nowait, event)

        ticket = self._answers.submit(question, deliver)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self._answers.cancel(ticket)
            events.put_nowait(ClientGone())

        watching = asyncio.create_task(watch())
        try:
            answer = self._stream if request.stream else self._whole
            await answer(request, ticket, events, send)
        finally:
            watching.cancel()
            self._answers.cancel(ticket)

    async def _whole(
        self, request: ChatRequest, ticket: Ticket, events: asyncio.Queue[Event | ClientGone], send: Send
    ) -> None:
        text = ""
        while isinstance(event := await _next(events), str):
            text += event
        self._metrics.count_answer(event, ticket.queue_s)
        self._metrics.count_request(200)
        response = JSONResponse(ChatResponse(self._model.name).whole(text, event, ticket))
        await response({"type": "http", "method": "POST"}, _never, send)

    async def _stream(
        self, request: ChatRequest, ticket: Ticket, events: asyncio.Queue[Event | ClientGone], send: Send
    ) -> None:
        response, with_usage = ChatResponse(self._model.name), request.include_usage
        event = await _next(events)  # an error before the first piece has its own status
        self._metrics.count_request(200)
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        await _send_more(send, response.begin(with_usage))
        try:
            while isinstance(event, str):
                await _send_more(send, response.piece(event, with_usage))
                event = await _next(events)
            self._metrics.count_answer(event, ticket.queue_s)
            last = response.end(event, ticket, with_usage)
        except ApiError as error:
            last = sent_event(error.to_json())
        await send({"type": "http.response.body", "body": last})


async def _next(events: asyncio.Queue[Event | ClientGone]) -> str | ServedAnswer:
    event = await events.get()
    if isinstance(event, Exception):
        raise event
    return event


async def _send_more(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _never() -> dict[str, str]:
    raise AssertionError("a JSON response reads nothing")
