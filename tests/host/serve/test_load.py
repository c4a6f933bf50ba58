"""Many clients at once, clients that go, and clients that never come to an end: the server stays up, and nothing is mixed up."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from chat_requests import shown
from scripted_model import ScriptedModel, served_on_a_port

from mobilevlm_host.serve import request_body, web_server
from mobilevlm_host.serve.server_metrics import resident_bytes

CLIENTS, REQUESTS = 8, 1000


def _request(question: str, stream: bool) -> bytes:
    return json.dumps({"model": "scripted", "messages": [shown(question)], "stream": stream}).encode()


def _connect(address: str) -> HTTPConnection:
    url = urlsplit(address)
    assert url.hostname
    return HTTPConnection(url.hostname, url.port, timeout=30)


def _text(raw: bytes, stream: bool) -> str:
    if not stream:
        return str(json.loads(raw)["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in raw.decode().split("\n\n") if line and line != "data: [DONE]"]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


def _figures(address: str) -> dict[str, float]:
    connection = _connect(address)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def _wait_until_idle(address: str) -> dict[str, float]:
    end = time.monotonic() + 10
    while (figures := _figures(address))["mvlm_queue_waiting"] + figures["mvlm_queue_running"]:
        assert time.monotonic() < end, figures
        time.sleep(0.02)
    return figures


@pytest.mark.slow
def test_a_thousand_requests_of_eight_clients_with_aborts() -> None:
    """Every client gets its own answers, in its order; aborted requests leave nothing behind; memory stays flat."""
    model, wrong, outcomes = ScriptedModel(pause_s=0.001), list[str](), Counter[str]()
    answered: list[list[str]] = [[] for _ in range(CLIENTS)]
    each = REQUESTS // CLIENTS

    def client(number: int, first: int) -> None:
        chance = random.Random(number)
        for turn in range(first, first + each):
            question, stream = f"echo {number}.{turn}", chance.random() < 0.5
            connection = _connect(address)
            connection.request("POST", "/v1/chat/completions", _request(question, stream))
            if chance.random() < 0.2:
                if chance.random() < 0.5:
                    time.sleep(chance.random() * 0.02)
                connection.close()
                outcomes["aborted"] += 1
                continue
            response = connection.getresponse()
            raw = response.read()
            connection.close()
            outcomes[str(response.status)] += 1
            answered[number].append(question)
            if response.status == 200 and _text(raw, stream) != question:
                wrong.append(question)

    with served_on_a_port(model, size=CLIENTS) as address:
        memory = list[int]()
        for round_number in range(2):  # the first round warms up
            outcomes.clear()
            first = round_number * each
            threads = [threading.Thread(target=client, args=(number, first)) for number in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            memory.append(resident_bytes())
        figures = _wait_until_idle(address)
    assert wrong == []
    assert set(outcomes) == {"200", "aborted"}
    assert sum(outcomes.values()) == REQUESTS
    assert outcomes["aborted"] > REQUESTS // 10
    assert figures['mvlm_requests_total{status="200"}'] >= outcomes["200"]
    assert memory[1] - memory[0] < 20e6
    asked = [question.turns[0].question for question in model.asked]
    for questions in answered:
        assert [question for question in asked if question in set(questions)] == questions


def test_a_client_that_goes_frees_the_engine() -> None:
    model = ScriptedModel(pause_s=0.2)
    with served_on_a_port(model) as address:
        connection = _connect(address)
        connection.request("POST", "/v1/chat/completions", _request("What is this?", True))
        assert connection.getresponse().read1(10)
        begin = time.monotonic()
        connection.close()
        figures = _wait_until_idle(address)
        assert time.monotonic() - begin < 1.0  # the whole answer takes 1.4 s
        assert model.stopped == 1
        assert figures["mvlm_cancelled_total"] == 1


def test_a_full_queue_says_when_to_come_back() -> None:
    with served_on_a_port(ScriptedModel(pause_s=0.2), size=1) as address:
        waiting = [_connect(address) for _ in range(2)]
        for connection in waiting:
            connection.request("POST", "/v1/chat/completions", _request("What is this?", True))
            time.sleep(0.1)
        refused = _connect(address)
        refused.request("POST", "/v1/chat/completions", _request("What is this?", False))
        response = refused.getresponse()
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert json.loads(response.read())["error"]["code"] == "queue_full"
        for connection in (*waiting, refused):
            connection.close()


def test_clients_that_never_end_or_never_read_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "TIMEOUT_S", 0.3)
    with served_on_a_port(ScriptedModel()) as address:
        url = urlsplit(address)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        deaf = socket.create_connection((url.hostname, url.port))
        asked = _request("What is this?", True)
        deaf.sendall(head + b"Content-Length: %d\r\n\r\n" % len(asked) + asked)
        endless = socket.create_connection((url.hostname, url.port))
        endless.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        large = socket.create_connection((url.hostname, url.port))
        large.sendall(head + b"Content-Length: 999999999\r\n\r\n")
        for client, status in ((endless, b"408"), (large, b"413")):
            client.settimeout(10)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 " + status)
        polite = _connect(address)
        polite.request("POST", "/v1/chat/completions", _request("echo here", False))
        assert _text(polite.getresponse().read(), False) == "echo here"
        for each in (deaf, endless, large, polite):
            each.close()


def test_a_body_that_grows_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "MOST_BYTES", 100_000)
    with served_on_a_port(ScriptedModel()) as address:
        url = urlsplit(address)
        growing = socket.create_connection((url.hostname, url.port))
        growing.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        growing.sendall(b"20000\r\n%s\r\n" % (b" " * 0x20000))  # and no end
        growing.settimeout(10)
        assert growing.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        growing.close()


def test_clients_whose_bodies_come_slowly_stop_nobody() -> None:
    with served_on_a_port(ScriptedModel()) as address:
        url = urlsplit(address)
        slow = [socket.create_connection((url.hostname, url.port)) for _ in range(40)]
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000000\r\n\r\n"
        for number, each in enumerate(slow):
            each.sendall(head + b" " * (2_000_000 if number < 20 else 10))
        polite = _connect(address)
        polite.request("POST", "/v1/chat/completions", _request("echo here", False))
        assert _text(polite.getresponse().read(), False) == "echo here"
        for each in (*slow, polite):
            each.close()


def test_clients_that_ask_nothing_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do those whose request never begins, or which go on with one that was answered."""
    monkeypatch.setattr(web_server, "_HEAD_S", 0.3)
    monkeypatch.setattr(web_server, "_MOST_CONNECTIONS", 4)
    model = ScriptedModel(pause_s=0.3)
    with served_on_a_port(model) as address:
        url = urlsplit(address)
        answered = _connect(address)  # takes longer than they may wait
        answered.request("POST", "/v1/chat/completions", _request("What is this?", False))
        while not model.asked:
            time.sleep(0.01)
        idle = [socket.create_connection((url.hostname, url.port)) for _ in range(4)]
        idle[0].sendall(b"GET /health HTT")
        idle[1].sendall(b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n1")
        _wait_for_room(address)
        assert answered.getresponse().status == 200
        for each in (answered, *idle):
            each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit for unread data")
def test_a_client_that_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_UNREAD_MS", 300)
    monkeypatch.setattr(web_server, "_MOST_CONNECTIONS", 2)
    with served_on_a_port(ScriptedModel()) as address:
        url = urlsplit(address)
        deaf = socket.create_connection((url.hostname, url.port))
        asked = _request("echo" + "!" * 12_000_000, False)  # more than the system keeps for a connection
        deaf.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(asked)
        )
        deaf.sendall(asked)
        _wait_for_room(address)
        deaf.close()


def _wait_for_room(address: str) -> None:
    """Wait until another connection is accepted; there is none at first."""
    assert _status(address) == 503
    end = time.monotonic() + 10
    while _status(address) != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def _status(address: str) -> int:
    connection = _connect(address)
    connection.request("GET", "/health", headers={"Connection": "close"})
    status = connection.getresponse().status
    connection.close()
    return status
