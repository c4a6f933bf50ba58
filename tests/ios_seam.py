"""Run the iOS app's tests, COMMAND, with this kit's Core ML evaluator instead of Core ML; FOLDER holds all that they need.

FOLDER is created with: the demo bundle for Core ML, zipped; images as PPM; ``cases.json``, the answers of ``mvlm ask --backend coreml``
to each golden record and in a conversation about each sample; ``programs.sock``, a socket that runs the programs while COMMAND runs.
The environment variable SEAM tells COMMAND to use it: Swift may run in another root, which sees the folder but can't start Python.

usage: python ios_seam.py FOLDER COMMAND...
Exit codes: COMMAND's; 1 if it succeeded, but no KV cache ever held the same pixels and embeddings as the runner's for a conversation,
or ``mvlm replay`` finds a difference in the ``capture.zip`` that COMMAND left in FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import math
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
from click.testing import CliRunner
from conversations import conversations
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO
from mobilevlm_export.job import ExportJob
from mobilevlm_export.quantize.recipe import make_recipe
from mobilevlm_host.ask.kv_cache import PromptImage
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.cli.mvlm import main as mvlm
from mobilevlm_host.engines.coreml import CoreMLMethods, EvaluatedPackage, core_ml_is_here
from mobilevlm_host.records.golden import export_with_golden

SOCKET, CASES, CAPTURE = "programs.sock", "cases.json", "capture.zip"
ENDED = {"eos": "complete", "length": "length"}


def make_cases(bundle: Bundle, folder: Path) -> list[dict[str, Any]]:
    """Every conversation: its picture in ``folder``, what ``mvlm ask`` says, and what its KV cache holds at last."""
    cases: list[dict[str, Any]] = []
    methods = CoreMLMethods(bundle)
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
        cases.append({"picture": picture, "turns": turns} | held(conversation.runner, methods))
    return cases


def held(runner: Runner, methods: CoreMLMethods) -> dict[str, Any]:
    """The inputs in the runner's KV cache, in the form of :attr:`Programs.fed`."""
    assert runner._cache is not None
    cached = runner._cache._cached or []
    (at,) = (index for index, part in enumerate(cached) if isinstance(part, PromptImage))
    shown = cached[at]
    assert isinstance(shown, PromptImage)
    image = methods.vision_encoder(shown.pixels[None])[0][0]
    before, after = (methods.token_embedding(torch.tensor(ids)) for ids in (cached[:at], cached[at + 1 :]))
    rows = [_bytes(row.half()) for row in torch.cat([before, image, after])]
    return {"tokens": len(rows), "held": [_digest(_bytes(shown.pixels)), _digest(b"".join(rows))]}


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Cache:
    """A KV cache, and the embeddings that it was computed from, one per position."""

    state: Any
    rows: list[bytes] = field(default_factory=list)


class Programs:
    """Runs the bundle's packages as an app runs Core ML: a function's inputs in, its outputs out."""

    def __init__(self, bundle: Bundle) -> None:
        made = bundle.manifest.values["artifacts"]["coreml"]
        names = {made["vision_encoder"]["package"]: ("main",), made["text_decoder"]["package"]: ("prefill", "decode")}
        self.packages = {name: EvaluatedPackage(bundle.path / name, functions) for name, functions in names.items()}
        self.fed: set[tuple[str, str]] = set()  # SHA-256 of the pixels and embeddings of every KV cache at any time

    def serve(self, stream: BinaryIO) -> None:
        """Each call is a line of JSON, ``bytes`` raw bytes of its inputs behind it; each reply is one too, with its outputs' bytes. A
        failure is a reply with ``error``."""
        caches: dict[int, Cache] = {}
        pixels = ""
        while line := stream.readline():
            call = json.loads(line)
            inputs = _tensors(call["inputs"], stream.read(call["bytes"]))
            if "image" in inputs:
                pixels = _digest(_bytes(inputs["image"]))
            try:
                outputs = self.run(call["package"], call["function"], inputs, call.get("state"), caches)
            except Exception as error:
                _reply(stream, error=str(error) or type(error).__name__)
                continue
            if "state" in call:
                self.fed.add((pixels, _digest(b"".join(caches[call["state"]].rows))))
            described = [
                {"name": name, "type": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
                for name, value in outputs.items()
            ]
            data = b"".join(map(_bytes, outputs.values()))
            _reply(stream, data, outputs=described, bytes=len(data))

    def run(
        self,
        package: str,
        function: str,
        inputs: dict[str, Tensor],
        state: int | None,
        caches: dict[int, Cache],
    ) -> dict[str, Tensor]:
        """Outputs of ``function``; a state is created when its number is first used."""
        if state is None:
            return self.packages[package].run(function, inputs)
        if state not in caches:
            caches[state] = Cache(self.packages[package].make_state())
        cache, position = caches[state], int(inputs["input_pos"])
        if position > len(cache.rows):
            raise ValueError(
                f"got position {position}, expected at most {len(cache.rows)}: nothing was written before it"
            )
        outputs = self.packages[package].run(function, inputs, cache.state)
        count = int(inputs.get("length", torch.tensor(1)))
        cache.rows[position:] = [_bytes(row) for row in inputs["embeds"][0, :count]]
        return outputs


def _tensors(described: list[dict[str, Any]], data: bytes) -> dict[str, Tensor]:
    tensors, at = {}, 0
    for each in described:
        dtype = np.dtype(each["type"]).newbyteorder("<")
        count = math.prod(each["shape"])
        values = np.frombuffer(data, dtype, count, at).reshape(each["shape"]).copy()
        tensors[each["name"]] = torch.from_numpy(values)
        at += values.nbytes
    return tensors


class Server:
    """Runs the programs for each client of the socket, with separate KV caches."""

    def __init__(self, programs: Programs, at: Path) -> None:
        self.programs = programs
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(os.path.relpath(at))  # a socket's path must be short
        self.socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.programs.serve, args=(connection.makefile("rwb"),), daemon=True).start()


def _reply(stream: BinaryIO, data: bytes = b"", **values: Any) -> None:
    stream.write(json.dumps(values).encode() + b"\n" + data)
    stream.flush()


def main() -> int:
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = ExportJob(DEMO, folder / "demo.mvlm", make_recipe("int4"), backends=("coreml",), zipped=True)
    export_with_golden(job).close()
    with Bundle.open(folder / "demo.mvlm") as bundle:
        cases = make_cases(bundle, folder)
        (folder / CASES).write_text(json.dumps({"cases": cases}), encoding="utf-8")
        programs = Programs(bundle)
        Server(programs, folder / SOCKET)
        # Inside Swift's root the repository has another path: use one relative to the package.
        code = subprocess.run(command, env=os.environ | {"SEAM": os.path.relpath(folder)}).returncode
        if code:
            return code
        missing = [case["picture"] for case in cases if tuple(case["held"]) not in programs.fed]
        if missing and not core_ml_is_here():  # if Core ML itself has run them
            print(f"{', '.join(missing)}: never fed as mvlm ask feeds it", file=sys.stderr)
            return 1
    replayed = CliRunner().invoke(mvlm, ["replay", str(folder / CAPTURE), str(folder / "demo.mvlm"), "--json"])
    found = json.loads(replayed.stdout) if replayed.stdout else {}
    same = [stage["same"] for stage in found.get("stages", {}).values()]
    if found.get("backend") != "coreml" or same != [True] * 4:
        print(f"{folder / CAPTURE}: mvlm replay doesn't compute the same: {replayed.output}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
