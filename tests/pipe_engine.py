"""An engine for the Android core's tests: ExecuTorch's C++ multimodal runner over standard input and output.

It takes texts and pixels as ``LlmModule`` on Android does, and tokenizes texts in C++. Each call is a line of JSON, ``bytes`` raw bytes
behind it where it says so; each reply is one too, ``floats`` float32 behind it. A failure is a reply with ``error``.

usage: python pipe_engine.py BUNDLE
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.engines.executorch import ExecuTorchMethods
from mobilevlm_host.engines.operators import register_operators

Call = tuple[dict[str, Any], bytes]


class PipeEngine:
    """The runner, and the program's methods, which are loaded on first use."""

    def __init__(self, bundle: Bundle, out: BinaryIO) -> None:
        from executorch.extension.llm.runner import MultimodalRunner

        register_operators()
        self.bundle, self.out = bundle, out
        self.runner = MultimodalRunner(str(bundle.artifact("executorch")), str(bundle.tokenizer("json")))
        self.methods: ExecuTorchMethods | None = None
        self.is_empty = True
        self.generating = threading.Lock()

    def reply(self, **values: Any) -> None:
        self.out.write(json.dumps(values).encode() + b"\n")
        self.out.flush()

    def reply_floats(self, tensor: Tensor) -> None:
        floats = tensor.flatten().numpy().astype("<f4")
        self.reply(floats=floats.size)
        self.out.write(floats.tobytes())
        self.out.flush()

    def stop(self) -> None:
        """Stop a running answer, if any."""
        if self.generating.locked():
            self.runner.stop()

    def reset(self) -> None:
        self.runner.reset()
        self.is_empty = True
        self.reply()

    def prefill_text(self, text: str) -> None:
        from executorch.extension.llm.runner import make_text_input, make_token_input

        if self.is_empty:  # Python's prefill has no option to add BOS
            self.runner.prefill([make_token_input([self.bundle.config.bos_id])])
            self.is_empty = False
        self.runner.prefill([make_text_input(text)])
        self.reply()

    def prefill_image(self, pixels: bytes) -> None:
        from executorch.extension.llm.runner import make_image_input

        self.runner.prefill([make_image_input(self._pixels(pixels))])
        self.reply()

    def generate(self, text: str, max_new_tokens: int) -> None:
        from executorch.extension.llm.runner import GenerationConfig, make_text_input

        options = GenerationConfig(max_new_tokens=max_new_tokens, temperature=0.0, echo=False)
        with self.generating:
            self.runner.generate([make_text_input(text)], options, lambda piece: self.reply(piece=piece))
        self.reply()

    def vision_encoder(self, pixels: bytes) -> None:
        self.reply_floats(self._methods().vision_encoder(self._pixels(pixels)[None])[0])

    def token_embedding(self, ids: list[int]) -> None:
        self.reply_floats(self._methods().token_embedding(torch.tensor([ids])))

    def text_decoder(self, embeds: bytes, position: int) -> None:
        rows = torch.from_numpy(np.frombuffer(embeds, "<f4").copy()).reshape(1, -1, self.bundle.config.llm.hidden_size)
        self.reply_floats(self._methods().text_decoder(rows, position))

    def _methods(self) -> ExecuTorchMethods:
        self.methods = self.methods or ExecuTorchMethods(self.bundle)
        return self.methods

    def _pixels(self, data: bytes) -> Tensor:
        side = self.bundle.config.vision.image_size
        return torch.from_numpy(np.frombuffer(data, np.uint8).copy()).reshape(3, side, side)


def main() -> None:
    # C++ output must not be mixed with the replies.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    calls: queue.Queue[Call | None] = queue.Queue()
    torch.set_num_threads(1)
    with Bundle.open(Path(sys.argv[1])) as bundle:
        engine = PipeEngine(bundle, out)
        engine.reply()
        threading.Thread(target=_read, args=(sys.stdin.buffer, calls, engine), daemon=True).start()
        while (call := calls.get()) is not None:
            values, data = call
            arguments = [*([data] if "bytes" in values else []), *values.get("arguments", [])]
            try:
                getattr(engine, values["call"])(*arguments)
            except Exception as error:
                engine.reply(error=str(error) or type(error).__name__)


def _read(calls_in: BinaryIO, calls: queue.Queue[Call | None], engine: PipeEngine) -> None:
    """Queues incoming calls; executes a stop immediately."""
    while line := calls_in.readline():
        values = json.loads(line)
        if values["call"] == "stop":
            engine.stop()
        else:
            calls.put((values, calls_in.read(values.get("bytes", 0))))
    calls.put(None)


if __name__ == "__main__":
    main()
