"""A model id is downloaded from the hub: a stand-in on loopback speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobilevlm_export.checkpoint import load_checkpoint
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.hub import DEMO_CHECKPOINT, resolve_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tiny_checkpoint: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with one model, owner/tiny, and the files that were asked of it."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            files = {file.name: file for file in tiny_checkpoint.iterdir()}
            if path.startswith("/api/models/owner/tiny"):
                extra = ["pytorch_model.bin", "README.md"]
                listed = [{"rfilename": name} for name in [*files, *extra]]
                value = {"id": "owner/tiny", "modelId": "owner/tiny", "sha": COMMIT, "siblings": listed}
                if "/tree/" in path:
                    entries = [
                        {"type": "file", "oid": "0" * 40, "size": file.stat().st_size, "path": name}
                        for name, file in files.items()
                    ]
                    self._send(200, json.dumps(entries).encode(), body, {})
                    return
                self._send(200, json.dumps(value).encode(), body, {})
            elif path.startswith(f"/owner/tiny/resolve/{COMMIT}/") and path.rsplit("/", 1)[1] in files:
                name = path.rsplit("/", 1)[1]
                data = files[name].read_bytes()
                if body:
                    asked.append(name)
                etag = hashlib.sha256(data).hexdigest()
                self._send(200, data, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
            else:
                self._send(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

        def _send(self, status: int, data: bytes, body: bool, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_id_is_downloaded_once_and_only_what_is_needed(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    endpoint, asked = hub
    folder = resolve_checkpoint("owner/tiny", endpoint=endpoint, cache=tmp_path)
    assert load_checkpoint(folder).config.llm.hidden_size == 96
    assert sorted(asked) == ["config.json", "model.safetensors", "tokenizer.model", "vision_config.json"]
    asked.clear()
    assert resolve_checkpoint("owner/tiny", endpoint=endpoint, cache=tmp_path) == folder
    assert asked == []


def test_an_unknown_model_is_one_line(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"owner/none: couldn't be downloaded") as caught:
        resolve_checkpoint("owner/none", endpoint=hub[0], cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_and_the_demo_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint(tmp_path) == tmp_path
    assert resolve_checkpoint("demo") == DEMO_CHECKPOINT
    for name in ("absent", "/absent/folder", "a/b/c"):
        with pytest.raises(CheckpointError, match="no such folder, expected a checkpoint, a model id"):
            resolve_checkpoint(name)
