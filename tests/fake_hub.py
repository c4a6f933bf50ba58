"""A hub on loopback that takes and gives models: as much of the Hugging Face hub's protocol as uploads and downloads use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

TOKEN = "hf_" + "a" * 30
_LFS = (".zip", ".safetensors")


@dataclass
class FakeHub:
    """Repositories by id, each with its files by name; ``requests`` has the method and path of every request."""

    endpoint: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)  # by SHA-256
    cut_at: int | None = None  # files are cut off after this many bytes, and the connection closed

    def downloaded(self, repository: str) -> list[str]:
        """The names of the files of ``repository`` that were requested, in order."""
        found = (re.fullmatch(rf"GET /{re.escape(repository)}/resolve/[^/]+/(.+)", each) for each in self.requests)
        return [match[1] for match in found if match]

    def commit(self, repository: str) -> str:
        """The hash of its newest commit."""
        content = sorted(
            (name, hashlib.sha256(data).hexdigest()) for name, data in self.repositories[repository].items()
        )
        return hashlib.sha1(repr(content).encode()).hexdigest()


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that this process's library talks to, with a token that it takes."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._get(with_body=False)

        def do_GET(self) -> None:
            self._get(with_body=True)

        def do_PUT(self) -> None:
            hub.requests.append(f"PUT {self.path}")
            data = self._body()
            hub.objects[hashlib.sha256(data).hexdigest()] = data
            self._send(200, b"")

        def do_POST(self) -> None:
            hub.requests.append(f"POST {self.path}")
            data = self._body()
            if self.path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, b'{"error": "Invalid username or password."}')
            elif self.path == "/api/repos/create":
                self._create(json.loads(data))
            elif "/preupload/" in self.path:
                files = [
                    {
                        "path": each["path"],
                        "uploadMode": "lfs" if each["path"].endswith(_LFS) else "regular",
                        "shouldIgnore": False,
                        "oid": None,
                    }
                    for each in json.loads(data)["files"]
                ]
                self._json({"files": files})
            elif self.path.endswith(".git/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{hub.endpoint}/objects/{each['oid']}"}}}
                    for each in json.loads(data)["objects"]
                ]
                self._json({"transfer": "basic", "objects": objects})
            elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path.partition("?")[0]):
                self._commit(found[1], data)
            else:
                self._send(404, b"{}")

        def _create(self, asked: dict[str, Any]) -> None:
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if name in hub.repositories:
                self._send(409, json.dumps({"url": f"{hub.endpoint}/{name}"}).encode())
                return
            hub.repositories[name], hub.private[name] = {}, asked.get("private") or asked.get("visibility") == "private"
            self._json({"url": f"{hub.endpoint}/{name}"})

        def _commit(self, repository: str, data: bytes) -> None:
            for line in data.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    hub.repositories[repository][item["value"]["path"]] = base64.b64decode(item["value"]["content"])
                elif item["key"] == "lfsFile":
                    hub.repositories[repository][item["value"]["path"]] = hub.objects[item["value"]["oid"]]
                elif item["key"] == "deletedFile":
                    del hub.repositories[repository][item["value"]["path"]]
            commit = hub.commit(repository)
            self._json({"commitUrl": f"{hub.endpoint}/{repository}/commit/{commit}", "commitOid": commit})

        def _get(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.requests.append(f"{self.command} {path}")
            if (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/.*", path)) and found[1] in hub.repositories:
                files = hub.repositories[found[1]]
                self._json(
                    [{"type": "file", "oid": "0" * 40, "size": len(data), "path": name} for name, data in files.items()]
                )
                return
            if (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.*)?", path)) and found[
                1
            ] in hub.repositories:
                files = hub.repositories[found[1]]
                listed = [{"rfilename": name, "size": len(data), "blobId": "0"} for name, data in files.items()]
                self._json({"id": found[1], "modelId": found[1], "sha": hub.commit(found[1]), "siblings": listed})
                return
            if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                data = hub.repositories.get(found[1], {}).get(found[3])
                if data is not None:
                    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": hub.commit(found[1])}
                    self._send(200, data, headers, with_body=with_body, cut_at=hub.cut_at)
                    return
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body=with_body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                whole = b""
                while size := int(self.rfile.readline(), 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _json(self, value: Any) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _send(
            self,
            status: int,
            data: bytes,
            headers: dict[str, str] | None = None,
            *,
            with_body: bool = True,
            cut_at: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(data[:cut_at])

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
