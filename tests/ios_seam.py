"""The iOS core's tests with this kit's Core ML evaluator as their engine: runs COMMAND with all they need in FOLDER.

In FOLDER (made anew): the demo bundle for Core ML, zipped; pictures as PPM; ``cases.json``, what ``mvlm ask --backend coreml`` says of each
golden record and in a conversation about each sample; ``engine.sock``, a socket where the engine serves while COMMAND runs. The
environment's SEAM tells COMMAND that it is there: Swift may run in a root of its own, which sees the folder but starts no Python.

usage: python ios_seam.py FOLDER COMMAND...
Exit codes: COMMAND's; 1 if it ended well, but a conversation was never fed as the runner feeds it, to the last pixel and id.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from conversations import conversations
from torch import Tensor

from mobilevlm_export.bundle import Bundle
from mobilevlm_export.hub import DEMO
from mobilevlm_export.pipeline import ExportJob, export_bundle
from mobilevlm_export.quantize import make_recipe
from mobilevlm_host.capture import manifest_id
from mobilevlm_host.coreml import CoreMLMethods
from mobilevlm_host.golden import add_golden
from mobilevlm_host.runner import Runner

SOCKET, CASES, ZIP = "engine.sock", "cases.json", "demo.mvlm.zip"
ENDED = {"eos": "complete", "length": "length"}


def make_cases(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every conversation: its picture in ``folder``, what ``mvlm ask`` says, and what its KV cache holds at last."""
    cases: list[dict[str, Any]] = []
    for conversation in conversations(bundle, "coreml"):
        picture = f"{conversation.name}.ppm"
        conversation.picture.save(folder / picture)
        turns = [
            {
                "question": said.question,
                "max_new_tokens": said.max_new_tokens,
                "answer": said.answer.text,
                "token_ids": said.answer.token_ids,
                "ended": ENDED[said.answer.stop_reason],
            }
            for said in conversation.said
        ]
        cases.append({"picture": picture, "turns": turns} | held(conversation.runner))
    return cases


def held(runner: Runner) -> dict[str, Any]:
    """What the runner's KV cache holds, as :attr:`Engine.held` has it."""
    assert runner._image is not None
    assert runner._cached is not None
    image = [-1 - index for index in range(runner.config.image_tokens)]
    rows = [*runner._prefix, *image, *runner._cached]
    return {"pixels": hashlib.sha256(runner._image.numpy().tobytes()).hexdigest(), "rows": rows}


@dataclass
class Engine:
    """The programs with one KV cache, driven by rows as the app's engine is: an id, or -1 - N for the picture's embedding N."""

    methods: CoreMLMethods
    chunk: int
    image_size: int
    image: Tensor | None = None  # [image tokens, D]
    pixels: str = ""  # their SHA-256
    held: list[int] = field(default_factory=list)  # rows in the KV cache

    def look(self, pixels: bytes) -> bytes:
        square = torch.from_numpy(np.frombuffer(pixels, np.uint8).copy()).reshape(
            1, 3, self.image_size, self.image_size
        )
        self.image = self.methods.vision_encoder(square)[0][0]
        self.pixels = hashlib.sha256(pixels).hexdigest()
        return b""

    def prefill(self, rows: list[int], position: int) -> bytes:
        self._feed(rows, position)
        return b""

    def next(self, rows: list[int], position: int) -> bytes:
        """Logits, float16 [V]."""
        return self._feed(rows, position).numpy().astype("<f2").tobytes()

    @torch.inference_mode()
    def _feed(self, rows: list[int], position: int) -> Tensor:
        if not 1 <= len(rows) <= self.chunk or not 0 <= position <= len(self.held):
            raise ValueError(
                f"got {len(rows)} rows at {position} of {len(self.held)}, expected 1 to {self.chunk} at most there"
            )
        if self.image is None and min(rows) < 0:
            raise ValueError("got rows of a picture, expected the picture before")
        embeds = [self.image[-1 - row] if self.image is not None and row < 0 else self._token(row) for row in rows]
        logits = self.methods.text_decoder(torch.stack(embeds)[None], position)
        self.held = [*self.held[:position], *rows]
        return logits

    def _token(self, token: int) -> Tensor:
        return self.methods.token_embedding(torch.tensor([token]))[0]


class Server:
    """Serves an engine, with a KV cache of its own, to whoever comes to the socket.

    First it sends what the engine is: a line of JSON. Each call is such a line, ``bytes`` raw bytes behind it where it says so; each reply
    is one too, ``bytes`` behind it likewise. A failure is a reply with ``error``.
    """

    def __init__(self, bundle: Bundle, at: Path) -> None:
        self.bundle, self.methods = bundle, CoreMLMethods(bundle)
        self.fed: set[tuple[str, tuple[int, ...]]] = set()  # pixels and rows of every KV cache at any time
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.relpath(at))  # a socket's path must be short
        self.socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=(connection.makefile("rwb"),), daemon=True).start()

    def _serve(self, stream: BinaryIO) -> None:
        chunk = self.bundle.manifest.values["artifacts"]["coreml"]["prefill_chunk"]
        engine = Engine(self.methods.with_own_cache(), chunk, self.bundle.config.vision.image_size)
        _reply(stream, chunk=chunk, manifest=manifest_id(self.bundle))
        while line := stream.readline():
            values = json.loads(line)
            data = [stream.read(values["bytes"])] if "bytes" in values else []
            try:
                result = getattr(engine, values["call"])(*data, *values.get("arguments", []))
            except Exception as error:
                _reply(stream, error=str(error) or type(error).__name__)
            else:
                self.fed.add((engine.pixels, tuple(engine.held)))
                _reply(stream, result, bytes=len(result))


def _reply(stream: BinaryIO, data: bytes = b"", **values: Any) -> None:
    stream.write(json.dumps(values).encode() + b"\n" + data)
    stream.flush()


def main() -> int:
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = ExportJob(DEMO, folder / "demo.mvlm", make_recipe("int4"), backends=("coreml",), zipped=True)
    export_bundle(job, complete=add_golden).close()
    with Bundle.open(folder / "demo.mvlm") as bundle:
        cases = make_cases(bundle, folder)
        (folder / CASES).write_text(json.dumps({"cases": cases}), encoding="utf-8")
        server = Server(bundle, folder / SOCKET)
        # Inside Swift's root the repository stands elsewhere: a path below the package.
        code = subprocess.run(command, env=os.environ | {"SEAM": os.path.relpath(folder)}).returncode
        missing = [case["picture"] for case in cases if (case["pixels"], tuple(case["rows"])) not in server.fed]
        if code == 0 and missing:
            print(f"{', '.join(missing)}: never fed as mvlm ask feeds it", file=sys.stderr)
            return 1
        return code


if __name__ == "__main__":
    sys.exit(main())
