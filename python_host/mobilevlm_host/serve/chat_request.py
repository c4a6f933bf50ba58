"""The body of ``POST /v1/chat/completions`` → a question about a picture. Whatever would change the answer is used or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobilevlm_export.errors import PromptError
from mobilevlm_export.files.strict_json import JsonError, parse_json
from mobilevlm_export.prompt import Turn
from mobilevlm_host.serve.api_error import ApiError, refused
from mobilevlm_host.serve.chat_messages import read_messages

_USED = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "stream", "stream_options"}
# They change nothing here: who asks, and what a service stores or bills.
_WITHOUT_EFFECT = {
    "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user",
}  # fmt: skip
# The values that ask for what the server does anyway; null always does. Any other value is refused.
_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}
# The same for what concerns sampling alone: with temperature 0 any value changes nothing.
_SAMPLING: Mapping[str, tuple[Any, ...]] = {"seed": (), "top_p": (1,)}
_MOST_STOPS = 4


@dataclass(frozen=True)
class ChatRequest:
    """A conversation about the picture at ``image_url``, whose last turn is to be answered. ``max_tokens`` is None for as many as
    the context leaves; an answer ends before any of the texts in ``stop``.
    """

    model: str
    image_url: str
    turns: tuple[Turn, ...]
    max_tokens: int | None
    temperature: float
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool


def read_chat_request(body: bytes) -> ChatRequest:
    """The request in ``body``.

    Raises:
        ApiError: it is malformed, or asks for something that the server can't do.
    """
    try:
        values = parse_json(body)
    except JsonError as error:
        raise ApiError(400, f"body: got {error}, expected a JSON object", code="invalid_json") from None
    if not isinstance(values, dict):
        raise ApiError(400, f"body: got {_kind(values)}, expected a JSON object", code="invalid_json")
    given = {name: value for name, value in values.items() if value is not None}
    temperature = _number(given, "temperature", 0.0)
    if not 0 <= temperature <= 1:
        raise refused("temperature", f"got {temperature}, expected 0 (greedy) to 1")
    _require_known(values, temperature > 0)
    try:
        image_url, turns = read_messages(given.get("messages"))
    except PromptError as error:
        raise ApiError(400, f"messages: {error}", code="invalid_value", param="messages") from None
    stream = _flag(given, "stream")
    options = given.get("stream_options", {})
    if not isinstance(options, dict) or set(options) - {"include_usage", "include_obfuscation"}:
        raise refused("stream_options", f"got {options!r:.80}, expected an object with include_usage")
    return ChatRequest(
        model=_text(given, "model"),
        image_url=image_url,
        turns=turns,
        max_tokens=_max_tokens(given),
        temperature=temperature,
        stop=_stop(given.get("stop", [])),
        stream=stream,
        include_usage=_flag(options, "include_usage"),
    )


def _require_known(values: Mapping[str, Any], samples: bool) -> None:
    defaults = {**_DEFAULTS, **_SAMPLING}
    for name, value in values.items():
        if name in _USED or name in _WITHOUT_EFFECT or (name in _SAMPLING and not samples):
            continue
        if name not in defaults:
            raise ApiError(400, f"{name:.60}: unknown parameter", code="unknown_parameter", param=name[:60])
        if value is None or any(_same(value, default) for default in defaults[name]):
            continue
        remedy = "omit it, or set temperature to 0" if name in _SAMPLING else "omit it"
        raise refused(name, f"got {value!r:.80}, which this server doesn't support; {remedy}", "unsupported_value")


def _same(value: Any, default: Any) -> bool:
    """Equality as in JSON, where 1 isn't true."""
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in given]
    values = [_whole(given, name) for name in names]
    if len(set(values)) == 2:
        raise refused("max_completion_tokens", f"got {values[1]} besides max_tokens {values[0]}, expected one of them")
    for name, value in zip(names, values, strict=True):
        if value < 1:
            raise refused(name, f"got {value}, expected at least 1")
    return values[0] if values else None


def _stop(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or not all(isinstance(text, str) and text for text in texts)
        or len(texts) > _MOST_STOPS
    ):
        raise refused(
            "stop", f"got {value!r:.80}, expected a text or a list of up to {_MOST_STOPS}, none of them empty"
        )
    return tuple(texts)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise refused(name, f"got {_kind(value)}, expected a text")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise refused(name, f"got {_kind(value)}, expected true or false")
    return bool(value)


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refused(name, f"got {_kind(value)}, expected a number")
    return float(value)


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise refused(name, f"got {_kind(value)}, expected a whole number")
    return value


def _kind(value: Any) -> str:
    """What ``value`` is in JSON."""
    names = {type(None): "nothing", bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
