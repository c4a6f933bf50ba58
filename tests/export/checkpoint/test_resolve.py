"""A model id is downloaded from the hub; a fake hub on loopback speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tiny import random_model

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@dataclass
class Hub:
    """A hub with the model owner/tiny: its files by name, its address, and the files that were requested."""

    files: dict[str, bytes]
    endpoint: str = ""
    asked: list[str] = field(default_factory=list)

    def resolve(self, cache: Path, name: str = "owner/tiny") -> Path:
        self.asked.clear()
        return resolve_checkpoint(name, endpoint=self.endpoint, cache=cache)


@pytest.fixture
def hub(tiny_checkpoint: Path) -> Iterator[Hub]:
    hub = Hub({file.name: file.read_bytes() for file in tiny_checkpoint.iterdir()})

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            asked = path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/").removeprefix("/owner/tiny/resolve/main/")
            if path.startswith("/api/models/owner/tiny/tree/"):
                entries = [
                    {"type": "file", "oid": "0" * 40, "size": len(data), "path": name}
                    for name, data in hub.files.items()
                ]
                self._send(200, json.dumps(entries).encode(), body, {})
            elif path.startswith("/api/models/owner/tiny"):
                listed = [{"rfilename": name} for name in hub.files]
                value = {"id": "owner/tiny", "modelId": "owner/tiny", "sha": COMMIT, "siblings": listed}
                self._send(200, json.dumps(value).encode(), body, {})
            elif asked in hub.files:
                if body:
                    hub.asked.append(asked)
                etag = hashlib.sha256(hub.files[asked]).hexdigest()
                self._send(200, hub.files[asked], body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


SMALL = {"config.json", "tokenizer.model", "vision_config.json"}


def test_a_model_id_is_downloaded_once_and_only_what_is_needed(hub: Hub, tmp_path: Path) -> None:
    hub.files |= {
        "pytorch_model.bin": b"old",
        "README.md": b"#",
        "sub/model.safetensors": b"other",
        "sub/config.json": b"{}",
    }
    folder = hub.resolve(tmp_path)
    assert load_checkpoint(folder).config.llm.hidden_size == 96
    assert set(hub.asked) == {*SMALL, "model.safetensors"}
    assert hub.resolve(tmp_path) == folder
    assert hub.asked == []


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_an_index_comes_with_its_shards(hub: Hub, tmp_path: Path, tiny_checkpoint: Path, form: str) -> None:
    folder = tmp_path / "sharded"
    save_checkpoint(
        random_model(), folder, tokenizer_model=tiny_checkpoint / "tokenizer.model", form=form, dtype=torch.float32,
        max_shard_bytes=200_000,
    )  # fmt: skip
    hub.files = {file.name: file.read_bytes() for file in folder.iterdir()}
    hub.files["sub/model.safetensors"] = b"safetensors of another model"
    needed = set(hub.files) - {"sub/model.safetensors"}
    found = hub.resolve(tmp_path / "cache")
    assert {file.name for file in found.iterdir()} == needed
    assert torch.equal(load_checkpoint(found).token_embedding.weight, random_model().token_embedding.weight)


def test_weights_in_a_subfolder_are_not_found(hub: Hub, tmp_path: Path) -> None:
    hub.files["sub/model.safetensors"] = hub.files.pop("model.safetensors")
    with pytest.raises(CheckpointError, match=r"owner/tiny: got no weights on the hub, expected one of model\.safe"):
        hub.resolve(tmp_path)


def test_a_cached_model_needs_no_connection(hub: Hub, tmp_path: Path) -> None:
    folder = hub.resolve(tmp_path)
    hub.endpoint = NOWHERE
    assert hub.resolve(tmp_path) == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"isn't complete in the hub's cache") as caught:
        hub.resolve(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_connection_and_no_cache_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^owner/tiny: couldn't be downloaded \(.*refused\), isn't") as caught:
        Hub({}, NOWHERE).resolve(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_one_line(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"owner/none: refused by the hub \(.*\), and no folder") as caught:
        hub.resolve(tmp_path, "owner/none")
    assert "\n" not in str(caught.value)


def test_folders_and_the_demo_need_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint(tmp_path) == tmp_path
    assert resolve_checkpoint("demo") == DEMO_CHECKPOINT
    for name in ("absent", "/absent/folder", "a/b/c"):
        with pytest.raises(CheckpointError, match="no such folder, expected a checkpoint, a model id"):
            resolve_checkpoint(name)
