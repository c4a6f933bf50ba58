"""OpenAI's own package as the client, over a real connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from chat_requests import shown
from openai import OpenAI
from scripted_model import WORDS, ScriptedModel, served_on_a_port

ANSWER = " ".join(WORDS)
ASKED: dict[str, Any] = {"model": "scripted", "messages": [shown("What is this?")]}


@pytest.fixture
def client() -> Iterator[OpenAI]:
    with (
        served_on_a_port(ScriptedModel(), api_key="secret") as address,
        OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client,
    ):
        yield client


def test_an_answer_whole_and_streamed(client: OpenAI) -> None:
    whole = client.chat.completions.create(**ASKED)
    assert whole.choices[0].message.content == ANSWER
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.prompt_tokens_details is not None
    assert whole.usage.prompt_tokens_details.cached_tokens == 40
    with client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage == whole.usage
    assert [model.id for model in client.models.list()] == ["scripted"]


def test_its_answer_can_be_sent_back(client: OpenAI) -> None:
    first = client.chat.completions.create(**ASKED).choices[0].message
    messages = [*ASKED["messages"], first, {"role": "user", "content": "echo more"}]
    more = client.chat.completions.create(model="scripted", messages=messages)
    assert more.choices[0].message.content == "echo more"


def test_errors_are_those_of_the_package(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tools") as tools:
        client.chat.completions.create(
            **ASKED, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]
        )
    assert (tools.value.param, tools.value.code) == ("tools", "unsupported_value")
    with pytest.raises(openai.NotFoundError, match="scripted"):
        client.chat.completions.create(**{**ASKED, "model": "gpt-4o"})
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    with pytest.raises(openai.BadRequestError, match="n: got 2"):
        client.chat.completions.create(**ASKED, n=2)
    with pytest.raises(openai.BadRequestError, match="second picture"):
        client.chat.completions.create(
            model="scripted", messages=[shown("a"), {"role": "assistant", "content": "b"}, shown("c")]
        )


def test_an_engine_that_fails_while_it_streams_raises_there() -> None:
    class Failing(ScriptedModel):
        def answer(self, *arguments: Any) -> Any:
            arguments[1]("A red")
            raise ValueError("secret of the engine")

    with (
        served_on_a_port(Failing()) as address,
        OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(**ASKED, stream=True)
        with pytest.raises(openai.APIError, match="engine: ValueError"):
            list(stream)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(**ASKED)
        assert [model.id for model in client.models.list()] == ["scripted"]  # still up
