"""What a request may ask for: whatever the server can't do is refused by its name, and never ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_requests import body, shown

from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.chat_request import ChatRequest, read_chat_request

ANSWER = {"role": "assistant", "content": "a circle"}


def _read(**more: Any) -> ChatRequest:
    return read_chat_request(json.dumps({**body(), **more}).encode())


def _refused(**more: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        _read(**more)
    assert refused.value.status == 400
    assert "\n" not in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2), ("n", True), ("logprobs", True), ("top_logprobs", 3), ("response_format", {"type": "json_object"}),
        ("tools", [{"type": "function"}]), ("tool_choice", "required"), ("functions", [{}]),
        ("presence_penalty", 1), ("frequency_penalty", 0.1), ("logit_bias", {"5": 1}), ("modalities", ["audio"]),
        ("reasoning_effort", "high"), ("top_k", 5), ("unheard_of", None), ("temperature", 1.5), ("temperature", "0"),
        ("max_tokens", 0), ("max_tokens", 2.0), ("max_completion_tokens", 5), ("stop", ["a"] * 5), ("stop", [""]),
        ("stream", "yes"), ("stream_options", {"other": 1}), ("model", ""), ("messages", []), ("messages", "hello"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(name: str, value: Any) -> None:
    assert _refused(**{name: value}).param == name


def test_values_that_equal_the_default_are_accepted() -> None:
    read = _read(
        n=1, logprobs=False, tools=[], tool_choice="none", top_p=1, presence_penalty=0.0, response_format={"type": "text"},
        logit_bias=None, stop=None, temperature=None, user="me", store=False, metadata={"a": "b"}, seed=7, stream=None,
    )  # fmt: skip
    assert read == _read()


@pytest.mark.parametrize(("name", "value"), [("seed", 7), ("top_p", 0.9), ("top_p", 0)])
def test_what_concerns_sampling_is_refused_where_it_would_matter(name: str, value: float) -> None:
    assert _read(**{name: value}, temperature=0) == _read() == _read(**{name: value})
    refusal = _refused(**{name: value}, temperature=0.5)
    assert refusal.param == name
    assert "set temperature to 0" in str(refusal)


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([{"role": "user", "content": "no picture"}], "got no picture"),
        ([shown("a"), ANSWER, shown("b")], "got a second picture"),
        ([{"role": "user", "content": [*shown("a")["content"], *shown("b", 1)["content"]]}], "got a second picture"),
        ([shown("a"), ANSWER], "expected the last message to be the user's"),
        ([shown("a"), shown("b")], "two messages of the user in a row"),
        ([ANSWER, shown("a")], "an answer without a question"),
        ([{"role": "system", "content": "Be brief."}, shown("a")], "trained with fixed ones"),
        ([{"role": "tool", "content": "5"}, shown("a")], "got the role 'tool'"),
        ([{**shown("a"), "name": "Ann"}], "no place for it"),
        ([shown("  ")], "expected a question"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "type 'input_audio'"),
        ([shown("a"), {**ANSWER, "tool_calls": [{}]}, {"role": "user", "content": "b"}], "no place for it"),
        ([5], "expected an object"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be_a_conversation_are_refused(messages: list[Any], what: str) -> None:
    assert what in str(_refused(messages=messages))


def test_the_order_of_text_and_picture_does_not_matter() -> None:
    message = shown("a")
    turned = {**message, "content": message["content"][::-1]}
    assert _read(messages=[message]) == _read(messages=[turned])
    high = {"type": "image_url", "image_url": {"url": "data:,x", "detail": "high"}}
    assert "detail" in str(_refused(messages=[{"role": "user", "content": [high]}]))


def test_an_answer_of_the_openai_package_can_be_sent_back() -> None:
    dumped = {**ANSWER, "refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None}
    turns = _read(messages=[shown("a"), dumped, {"role": "user", "content": "b"}]).turns
    assert [(turn.question, turn.answer) for turn in turns] == [("a", "a circle"), ("b", None)]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"a":1,"a":2}', b"[" * 10_000, b'{"n": 1e999}'])
def test_a_body_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(ApiError, match="expected a JSON object") as refused:
        read_chat_request(data)
    assert refused.value.to_json()["error"]["type"] == "invalid_request_error"
