"""A fake of llama-cpp-python's C API, as used by ``bench.peer``, computed by the tiny model in torch, so that nothing is compiled.

It decodes tokens and embeddings and encodes pixels, with llama.cpp's behavior: positions advance by themselves, the next image
overwrites the output buffer, and errors are codes with a line in the log.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import TINY, random_model
from torch import Tensor

from mobilevlm_export.tokenizer import Tokenizer

ENGINE = "mobilevlm_host.bench.peer.llama_cpp_engine"
_WIDTH = TINY.llm.hidden_size


@dataclass
class _Batch:
    n_tokens: int
    token: Any = None
    embd: Any = None
    logits: Any = None


class _Text(ctypes.Structure):
    _fields_ = [
        ("text", ctypes.c_char_p),
        ("text_len", ctypes.c_size_t),
        ("add_special", ctypes.c_bool),
        ("parse_special", ctypes.c_bool),
    ]


class _Importance(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class _QuantizeOptions(ctypes.Structure):
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("imatrix", ctypes.POINTER(_Importance))]


@dataclass
class FakeLlamaCpp:
    """The functions of both modules under their own names. ``failing`` names the one that fails, with a reason in the log."""

    tokenizer: Tokenizer
    version: str = "0.3.36"
    failing: str = ""
    options: Any = None  # the context's, once it is made
    vision_options: Any = None
    decoded: list[int] = field(default_factory=list)  # how many tokens each batch had
    quantized: list[tuple[str, int, int]] = field(default_factory=list)  # file's name, type, threads
    importance: list[dict[str, list[float]]] = field(default_factory=list)  # of each quantization
    images: int = 0  # not freed yet
    loggers: dict[str, Any] = field(default_factory=dict)

    llama_token = ctypes.c_int32
    llama_batch = _Batch
    llama_model_imatrix_data = _Importance
    LLAMA_FTYPE_MOSTLY_Q4_0 = 2
    LLAMA_FTYPE_MOSTLY_Q8_0 = 7
    LLAMA_FTYPE_MOSTLY_Q4_K_M = 15
    mtmd_input_text = _Text
    MTMD_INPUT_CHUNK_TYPE_IMAGE = 1

    def __post_init__(self) -> None:
        self.model = random_model()
        self._pixels = torch.empty(0)
        self._output = np.empty((TINY.vision.num_patches, _WIDTH), np.float32)
        self._logits = np.empty(0, np.float32)
        self._computed: Tensor | None = None  # of all that is fed
        self.llama_memory_clear(None, True)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Replace the ``llama_cpp`` modules with this fake and return ``mobilevlm_host.bench.peer.llama_cpp_engine`` imported with it."""
        package = ModuleType("llama_cpp")
        package.__dict__.update(__version__=self.version, __path__=[], __spec__=ModuleSpec("llama_cpp", None))
        for name, prefix in (("llama_cpp", "llama_"), ("mtmd_cpp", "mtmd_")):
            module = ModuleType(f"llama_cpp.{name}")
            module.__dict__.update({each: getattr(self, each) for each in dir(self) if each.lower().startswith(prefix)})
            setattr(package, name, module)
            monkeypatch.setitem(sys.modules, f"llama_cpp.{name}", module)
        monkeypatch.setitem(sys.modules, "llama_cpp", package)
        monkeypatch.setitem(sys.modules, ENGINE, package)  # whatever is imported in its place goes with the test
        del sys.modules[ENGINE]
        return import_module(ENGINE)

    def _fails(self, name: str) -> bool:
        if name != self.failing:
            return False
        lines = (
            (2, b"so far so good\n"),
            (4, b"trouble\n"),
            (4, f"{name} is out of luck\n".encode()),
            (3, b"a warning\n"),
        )
        for level, text in lines:
            self.loggers["mtmd_log_set" if name.startswith("mtmd") else "llama_log_set"](level, text, None)
        return True

    def llama_log_callback(self, function: Any) -> Any:
        return function

    def llama_log_set(self, callback: Any, _: None) -> None:
        self.loggers["llama_log_set"] = callback

    def mtmd_log_set(self, callback: Any, _: None) -> None:
        self.loggers["mtmd_log_set"] = callback

    def mtmd_helper_log_set(self, callback: Any, _: None) -> None:
        self.loggers["mtmd_helper_log_set"] = callback

    def llama_backend_init(self) -> None:
        pass

    def llama_model_default_params(self) -> Any:
        return SimpleNamespace()

    def llama_model_load_from_file(self, path: bytes, _: Any) -> Any:
        return None if self._fails("llama_model_load_from_file") else path

    def llama_context_default_params(self) -> Any:
        return SimpleNamespace(n_ctx=512, n_batch=2048, n_ubatch=512, n_threads=4, n_threads_batch=4)

    def llama_init_from_model(self, model: bytes, options: Any) -> Any:
        self.options = options
        return None if self._fails("llama_init_from_model") else "context"

    def llama_model_get_vocab(self, model: bytes) -> Any:
        return "vocabulary"

    def llama_model_n_embd(self, model: bytes) -> int:
        return _WIDTH

    def llama_vocab_n_tokens(self, vocabulary: str) -> int:
        return TINY.llm.vocab_size

    def llama_vocab_bos(self, vocabulary: str) -> int:
        return self.tokenizer.bos_id

    def llama_get_memory(self, context: str) -> Any:
        return "memory"

    def llama_memory_clear(self, memory: Any, data: bool) -> None:
        self._fed = torch.empty(0, _WIDTH)

    def llama_decode(self, context: str, batch: _Batch) -> int:
        if self._fails("llama_decode") or batch.n_tokens > self.options.n_batch:
            return 1
        self.decoded.append(batch.n_tokens)
        self._rows = [-1] if batch.logits is None else [at for at in range(batch.n_tokens) if batch.logits[at]]
        self._last, self._computed = batch.n_tokens, None
        embeds = self._embeds(batch)
        self._fed = torch.cat((self._fed, embeds))
        return int(len(self._fed) > self.options.n_ctx)

    def _embeds(self, batch: _Batch) -> Tensor:
        if batch.token is None:
            return torch.from_numpy(np.ctypeslib.as_array(batch.embd, (batch.n_tokens, _WIDTH)).copy())
        return self.model.token_embedding(torch.tensor([batch.token[: batch.n_tokens]]))[0]

    def llama_get_logits_ith(self, context: str, at: int) -> Any:
        assert at in self._rows
        if self._computed is None:
            self._computed = self.model.text_decoder(self._fed[None])[0]
        self._logits = self._computed[at if at < 0 else at - self._last].contiguous().numpy()
        return self._logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float))

    def llama_tokenize(
        self, vocabulary: str, text: bytes, size: int, ids: Any, room: int, add_special: bool, parse_special: bool
    ) -> int:
        found = self.tokenizer.encode(text[:size].decode())
        found = [self.tokenizer.bos_id, *found] if add_special else found
        if len(found) > room:
            return -len(found)
        ids[: len(found)] = found
        return len(found)

    def llama_model_quantize_default_params(self) -> _QuantizeOptions:
        return _QuantizeOptions()

    def llama_model_quantize(self, source: bytes, output: bytes, options: Any) -> int:
        given: _QuantizeOptions = options._obj
        self.quantized.append((Path(output.decode()).name, given.ftype, given.nthread))
        self.importance.append({})
        for entry in given.imatrix or ():
            if entry.name is None:
                break
            self.importance[-1][entry.name.decode()] = entry.data[: entry.size]
        Path(output.decode()).write_bytes(Path(source.decode()).read_bytes())
        return int(self._fails("llama_model_quantize"))

    def mtmd_context_params_default(self) -> Any:
        return SimpleNamespace(use_gpu=True, print_timings=True, n_threads=4)

    def mtmd_init_from_file(self, path: bytes, model: bytes, options: Any) -> Any:
        self.vision_options = options
        return None if self._fails("mtmd_init_from_file") else "vision"

    def mtmd_default_marker(self) -> bytes:
        return b"<__media__>"

    def mtmd_bitmap_init(self, width: int, height: int, data: Any) -> int:
        self.images += 1
        rows: NDArray[np.uint8] = np.ctypeslib.as_array(data, (height, width, 3))
        self._pixels = torch.from_numpy(rows.copy()).permute(2, 0, 1)
        return self.images

    def mtmd_bitmap_free(self, bitmap: int) -> None:
        self.images -= 1

    def mtmd_input_chunks_init(self) -> list[int]:
        self.images += 1
        return []

    def mtmd_input_chunks_free(self, chunks: list[int]) -> None:
        self.images -= 1

    def mtmd_tokenize(self, vision: str, chunks: list[int], text: Any, bitmaps: Any, count: int) -> int:
        given: _Text = text._obj
        assert (given.text[: given.text_len], count) == (self.mtmd_default_marker(), 1)
        chunks += [0, self.MTMD_INPUT_CHUNK_TYPE_IMAGE]
        return int(self._fails("mtmd_tokenize"))

    def mtmd_input_chunks_size(self, chunks: list[int]) -> int:
        return len(chunks)

    def mtmd_input_chunks_get(self, chunks: list[int], at: int) -> int:
        return chunks[at]

    def mtmd_input_chunk_get_type(self, chunk: int) -> int:
        return chunk

    def mtmd_input_chunk_get_n_tokens(self, chunk: int) -> int:
        return len(self._output)

    def mtmd_encode_chunk(self, vision: str, chunk: int) -> int:
        assert chunk == self.MTMD_INPUT_CHUNK_TYPE_IMAGE
        ldpv2 = self.model.vision_encoder.projector
        features = self.model.vision_features(self._pixels[None])[0]
        # A patch grid that isn't llama.cpp's own: the projector's two linears alone.
        self._output[:] = ldpv2.fc2(ldpv2.gelu(ldpv2.fc1(features))).numpy()
        return int(self._fails("mtmd_encode_chunk"))

    def mtmd_get_output_embd(self, vision: str) -> Any:
        return self._output.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
