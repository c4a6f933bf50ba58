"""Pictures in requests: data URLs of any format that the kit reads, and nothing that could hurt."""

from __future__ import annotations

import base64
import threading
import time
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest
import torch
from chat_requests import data_url, picture
from PIL import Image

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.pixels import preprocess
from mobilevlm_host.serve import request_image
from mobilevlm_host.serve.api_error import ApiError
from mobilevlm_host.serve.request_image import read_pixels

TINY = MobileVLMConfig.tiny()


def _refusal(url: str, *, may_fetch: bool = False) -> str:
    with pytest.raises(ApiError) as refused:
        read_pixels(url, TINY, may_fetch=may_fetch)
    assert refused.value.status == 400
    assert len(str(refused.value)) < 300
    return str(refused.value)


def test_a_picture_becomes_the_pixels_of_mvlm_ask() -> None:
    expected = preprocess(picture(), TINY)
    assert torch.equal(read_pixels(data_url(picture()), TINY, may_fetch=False), expected)
    assert torch.equal(read_pixels(data_url(picture(), "WEBP"), TINY, may_fetch=False)[0, :3, :3], expected[0, :3, :3])


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,", "data:image/png;base64,!!!", "data:image/png;base64,aGVsbG8=", "data:text/html,<p>", "data:",
        "file:///etc/passwd", "ftp://example.org/a.png", "javascript:1", "", "http://127.0.0.1:1/a.png", "/etc/passwd",
    ],
)  # fmt: skip
def test_what_is_not_a_picture_is_refused(url: str) -> None:
    assert _refusal(url).startswith("messages.image_url: ")


def test_a_damaged_or_huge_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data_url(picture())
    assert "damaged" in _refusal(whole[: len(whole) // 8 * 4])
    bomb = data_url(Image.new("1", (30_000, 30_000)))  # 900 million pixels in 110 kB
    assert "expected at most" in _refusal(bomb)
    assert "expected at most 50000000" in _refusal(data_url(Image.new("1", (10_000, 5_001))))


class _Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/a.png")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/a.png" else 404)
        self.end_headers()
        self.wfile.write(base64.b64decode(data_url(picture()).partition(",")[2]))

    def log_message(self, *_: object) -> None:
        pass


def test_pictures_are_fetched_only_if_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Pictures) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            assert "--fetch-images" in _refusal(f"{address}/a.png")
            assert torch.equal(read_pixels(f"{address}/a.png", TINY, may_fetch=True), preprocess(picture(), TINY))
            assert "status 404" in _refusal(f"{address}/b.png", may_fetch=True)
            assert "status 302" in _refusal(f"{address}/elsewhere", may_fetch=True)
            monkeypatch.setattr(request_image, "_MOST_FETCHED", 100)
            assert "got more than 100 bytes" in _refusal(f"{address}/a.png", may_fetch=True)
        finally:
            server.shutdown()
    assert "can't be reached" in _refusal("http://127.0.0.1:9/a.png", may_fetch=True)


class _Slow:
    """A response whose body doesn't end."""

    def read1(self, most: int) -> bytes:
        time.sleep(0.01)
        return b"x"


def test_a_picture_that_comes_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_image, "_FETCH_S", 0.1)
    monkeypatch.setattr(request_image, "_MOST_FETCHED", 1000)
    with pytest.raises(TimeoutError):
        request_image._read(cast(HTTPResponse, _Slow()))
