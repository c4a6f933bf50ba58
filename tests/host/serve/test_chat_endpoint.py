"""Chat requests, from the outside: the same answers as mvlm ask, in OpenAI's form, with as little computed as possible."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from chat_requests import body, picture, shown
from starlette.testclient import TestClient

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.ask.runner import Runner

Ask = Callable[..., dict[str, Any]]
Serve = Callable[..., AbstractContextManager[TestClient]]


def _content(response: dict[str, Any]) -> str:
    return str(response["choices"][0]["message"]["content"])


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def _figures(client: TestClient) -> dict[str, float]:
    text = client.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(mvlm_\S+) (\S+)$", text, re.MULTILINE)}


def test_an_answer_is_that_of_mvlm_ask(ask: Ask, tiny_bundle: Bundle) -> None:
    response = ask(**body())
    with Runner(tiny_bundle) as runner:
        expected = "".join(runner.ask(picture(), "What is this?", max_new_tokens=12))
        assert _content(response) == expected
        assert response["usage"]["prompt_tokens"] == runner.stats.prompt_tokens
        assert response["usage"]["completion_tokens"] == runner.stats.generated_tokens
        assert response["choices"][0]["finish_reason"] == {"eos": "stop", "length": "length"}[runner.answer.stop_reason]
        more = [shown("What is this?"), response["choices"][0]["message"], {"role": "user", "content": "And now?"}]
        followed = ask(**{**body(), "messages": more})
        assert _content(followed) == "".join(runner.follow_up("And now?", max_new_tokens=12))


def test_a_streamed_answer_is_the_whole_one_in_pieces(client: TestClient, ask: Ask) -> None:
    whole = ask(**body())
    request = body(stream=True, stream_options={"include_usage": True})
    with client.stream("POST", "/v1/chat/completions", json=request) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = _events("".join(response.iter_text()))
    first, *pieces, end, usage = events
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == _content(whole)
    assert len(pieces) > 1
    assert end["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert set(end["timings"]) == {"queue_s", "image_encode_s", "ttft_s", "decode_tok_s", "reused_image"}
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    assert all(event["usage"] is None for event in events[:-1])
    assert {event["id"] for event in events} == {first["id"]}
    plain = client.post("/v1/chat/completions", json=body(stream=True))
    assert not any("usage" in event for event in _events(plain.text))


def test_a_conversation_that_grows_continues_in_the_kv_cache(client: TestClient, ask: Ask) -> None:
    messages: list[dict[str, Any]] = [shown("What is this?")]
    expected = 0
    for question in ("And now?", "Why?", ""):
        response = ask(**{**body(), "messages": messages})
        messages += [response["choices"][0]["message"], {"role": "user", "content": question}]
        cached = response["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert cached == expected
        expected = response["usage"]["total_tokens"] - 1  # the answer's last token is fed only when another is computed
    figures = _figures(client)
    assert figures["mvlm_conversations_continued_total"] == 2
    assert figures['mvlm_images_total{state="encoded"}'] == 1
    assert figures['mvlm_images_total{state="reused"}'] == 2


def test_a_picture_seen_before_is_not_encoded_again(client: TestClient, ask: Ask) -> None:
    first, other = ask(**body()), ask(**body(seed=1))
    again = ask(**body())
    assert _content(again) == _content(first)
    assert [each["timings"]["reused_image"] for each in (first, other, again)] == [False, False, True]
    assert ask(**body("Another question?"))["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
    assert _figures(client)['mvlm_images_total{state="encoded"}'] == 2


def test_an_edited_conversation_gets_the_answer_of_its_own_text(ask: Ask) -> None:
    edited = [
        shown("What is this?"),
        {"role": "assistant", "content": "a red circle"},
        {"role": "user", "content": "Why?"},
    ]
    fresh = ask(**{**body(), "messages": edited})
    ask(**body())
    assert _content(ask(**{**body(), "messages": edited})) == _content(fresh)


def test_an_answer_ends_before_a_stop_text(client: TestClient, ask: Ask) -> None:
    whole = _content(ask(**body()))
    stop = whole[4:7]
    short = ask(**body(stop=[stop, "never said"]))
    assert _content(short) == whole[: whole.index(stop)]
    assert short["choices"][0]["finish_reason"] == "stop"
    streamed = _events(client.post("/v1/chat/completions", json=body(stop=stop, stream=True)).text)
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in streamed) == _content(short)


def test_max_tokens_is_a_limit_that_the_context_lowers(ask: Ask) -> None:
    short = ask(**body(max_tokens=2))
    assert short["usage"]["completion_tokens"] == 2
    assert short["choices"][0]["finish_reason"] == "length"
    request = body(max_completion_tokens=2)
    del request["max_tokens"]
    assert _content(ask(**request)) == _content(short)
    most = ask(**body(max_tokens=10**6))
    assert most["usage"]["total_tokens"] <= 512
    assert most["choices"][0]["finish_reason"] in ("stop", "length")


def test_a_conversation_beyond_the_context_is_refused(ask: Ask) -> None:
    for question in ("What is this? " * 300, "x" * 1_000_000):
        error = ask(**body(question))["error"]
        assert error["code"] == "context_length_exceeded"
        assert "the model's context" in error["message"]


def test_the_model_and_what_it_can_do(client: TestClient) -> None:
    assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"
    assert client.get("/v1/models/tiny").json()["object"] == "model"
    assert client.get("/v1/models/other").json()["error"]["code"] == "model_not_found"
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/props").json()["modalities"] == {"vision": True, "audio": False}
    assert client.post("/v1/chat/completions", json={**body(), "model": "gpt-4o"}).status_code == 404
    missing = client.get("/v1/embeddings")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_such_path")
    assert client.get("/v1/chat/completions").status_code == 405


def test_the_log_never_says_what_was_asked(client: TestClient, ask: Ask) -> None:
    answer = _content(ask(**body("My secret question?")))
    log = client.log.getvalue()  # type: ignore[attr-defined]
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /v1/chat/completions 200 \d+\.\d\d s\n", log)
    assert "secret" not in log
    assert answer not in log


@pytest.mark.parametrize(
    "name",
    ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::1", "evil.example@127.0.0.1",
     "127.0.0.1/evil.example", "127.0.0.1#evil.example", "localhost?", "2130706433"],
)  # fmt: skip
def test_other_names_of_this_machine_are_refused(client: TestClient, name: str) -> None:
    """A page whose name now leads here (DNS rebinding) is of the same origin as the server for its browser."""
    refused = client.post("/v1/chat/completions", json=body(), headers={"Host": name})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize("name", ["localhost:8000", "127.0.0.1", "[::1]:8000", "192.168.1.5:8000"])
def test_own_names_are_accepted(client: TestClient, name: str) -> None:
    assert client.get("/health", headers={"Host": name}).status_code == 200


def test_browsers_neither_guess_types_nor_share_with_other_sites(client: TestClient, served: Serve) -> None:
    for path in ("/", "/app.js", "/v1/models", "/missing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    with served(origins=("https://good.example",)) as open_client:
        headers = open_client.get("/v1/models", headers={"Origin": "https://good.example"}).headers
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert headers["vary"] == "Origin"


def test_pages_of_other_sites_are_refused_unless_allowed(client: TestClient, served: Serve) -> None:
    other = {"Origin": "https://evil.example"}
    refused = client.post("/v1/chat/completions", json=body(), headers=other)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in refused.headers
    assert client.get("/health", headers={"Origin": "null"}).status_code == 403
    assert client.get("/health", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200
    with served(origins=("https://good.example",), api_key="k") as open_client:
        asked = {"Origin": "https://good.example", "Access-Control-Request-Method": "POST"}
        preflight = open_client.options("/v1/chat/completions", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://good.example"
        assert open_client.get("/health", headers=other).status_code == 403


def test_only_those_with_the_key_may_ask(served: Serve) -> None:
    with served(api_key="secret") as client:
        for path in ("/v1/models", "/props", "/metrics"):
            refused = client.get(path, headers={"Authorization": "Bearer wrong"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
            assert "secret" not in refused.text
            assert client.get(path, headers={"Authorization": "Bearer secret"}).status_code == 200
        assert client.get("/health").status_code == 200
        assert client.get("/").status_code == 200
