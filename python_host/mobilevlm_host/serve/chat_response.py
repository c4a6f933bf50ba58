"""Answers in the form of OpenAI's API: one object, or chunks of a stream."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from mobilevlm_host.serve.answer_queue import Ticket
from mobilevlm_host.serve.served_model import ServedAnswer


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"


@dataclass(frozen=True)
class ChatResponse:
    """What an answer by ``model`` looks like to clients. The end has the times of the answer under ``timings``, which OpenAI lacks."""

    model: str
    id: str = field(default_factory=_new_id)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, answer: ServedAnswer, ticket: Ticket) -> dict[str, Any]:
        """The finished ``answer`` with its ``text``."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        return {
            **self._head("chat.completion"), "choices": [choice], "usage": _usage(answer), "timings": _timings(answer, ticket),
        }  # fmt: skip

    def begin(self, include_usage: bool) -> bytes:
        """The event before the first text."""
        return self._chunk({"role": "assistant", "content": ""}, None, include_usage)

    def piece(self, text: str, include_usage: bool) -> bytes:
        """The event for a piece of the answer's text."""
        return self._chunk({"content": text}, None, include_usage)

    def end(self, answer: ServedAnswer, ticket: Ticket, include_usage: bool) -> bytes:
        """The events after the last text."""
        last = self._chunk({}, answer.finish_reason, include_usage, timings=_timings(answer, ticket))
        if include_usage:
            last += sent_event({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(answer)})
        return last + b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None, include_usage: bool, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        usage = {"usage": None} if include_usage else {}
        return sent_event({**self._head("chat.completion.chunk"), "choices": [choice], **usage, **more})


def sent_event(value: Any) -> bytes:
    """``value`` as one of the server-sent events."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _usage(answer: ServedAnswer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.generated_tokens,
        "total_tokens": answer.prompt_tokens + answer.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }


def _timings(answer: ServedAnswer, ticket: Ticket) -> dict[str, Any]:
    return {
        "queue_s": ticket.queue_s,
        "image_encode_s": answer.image_encode_s,
        "ttft_s": answer.ttft_s,
        "decode_tok_s": answer.decode_tok_s,
        "reused_image": answer.reused_image,
    }
