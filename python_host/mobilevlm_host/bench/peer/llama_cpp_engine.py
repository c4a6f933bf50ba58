"""llama.cpp in a round: its C API through ``llama-cpp-python``, with its multimodal library."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import llama_cpp.mtmd_cpp as mtmd
import numpy as np
from numpy.typing import NDArray

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.peer.peer_round import Job, Prompt, run
from mobilevlm_host.bench.peer.pool_and_peg import PoolAndPeg

_PHYSICAL_BATCH = 512  # llama.cpp's own default
_ERROR = 4  # of ggml's log levels
_errors: list[str] = []  # llama.cpp's errors


def _log(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        _errors.append(text.decode(errors="replace").strip())


_callback = llama.llama_log_callback(_log)  # kept alive, because C calls it until the process ends
llama.llama_log_set(_callback, None)
mtmd.mtmd_log_set(_callback, None)
mtmd.mtmd_helper_log_set(_callback, None)


class LlamaCppEngine:
    """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`. A job's files are the language model and the projector, both GGUF.

    Everything but the threads and the context has llama.cpp's default: mapped files, repacked weights, a float16 KV cache,
    automatic flash attention.
    """

    def __init__(self, job: Job) -> None:
        model_file, projector_file = job.files
        llama.llama_backend_init()
        self._model: Any = _made(
            llama.llama_model_load_from_file(model_file.encode(), llama.llama_model_default_params()), model_file
        )
        options = llama.llama_context_default_params()
        options.n_ctx = job.context
        options.n_batch = options.n_ubatch = min(_PHYSICAL_BATCH, job.context)
        options.n_threads = options.n_threads_batch = job.threads
        self._context: Any = _made(llama.llama_init_from_model(self._model, options), model_file)
        self._vocabulary: Any = llama.llama_model_get_vocab(self._model)
        self._width = llama.llama_model_n_embd(self._model)
        self._vocab_size = llama.llama_vocab_n_tokens(self._vocabulary)
        self._batch_size = options.n_batch
        vision = mtmd.mtmd_context_params_default()
        vision.use_gpu, vision.print_timings, vision.n_threads = False, False, job.threads
        self._vision: Any = _made(
            mtmd.mtmd_init_from_file(projector_file.encode(), self._model, vision), projector_file
        )
        self._projector_file = Path(projector_file)
        self._pool = PoolAndPeg.of(self._projector_file)
        self._eos_id = job.eos_id

    def ids(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        bos = llama.llama_vocab_bos(self._vocabulary)
        return [bos, *self._tokenize(prompt.before)], self._tokenize(prompt.after)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`: float32 [tokens, D], a copy."""
        with self._image_chunk(pixels) as chunk:
            if mtmd.mtmd_encode_chunk(self._vision, chunk):
                raise RunnerError(f"{self._projector_file}: llama.cpp can't encode the image ({_reason()})")
            rows = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
            values: Any = mtmd.mtmd_get_output_embd(self._vision)
            embeds = np.ctypeslib.as_array(values, (rows, self._width)).copy()
        return self._pool(embeds) if self._pool else embeds

    def reset(self) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)

    def feed(self, ids: list[int]) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        for at in range(0, len(ids), self._batch_size):
            part = ids[at : at + self._batch_size]
            self._decode(llama.llama_batch(n_tokens=len(part), token=(llama.llama_token * len(part))(*part)))

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        self.feed_embeds(self.encode(pixels))

    def feed_embeds(self, embeds: NDArray[np.float32]) -> None:
        """Append an image's embeddings [tokens, D] to the KV cache."""
        embeds = np.ascontiguousarray(embeds)
        for at in range(0, len(embeds), self._batch_size):
            part = embeds[at : at + self._batch_size]
            pointer = part.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            self._decode(llama.llama_batch(n_tokens=len(part), embd=pointer))

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """Append token ids to the KV cache; the logits after each of them, float32 [T, V]."""
        rows = np.empty((len(ids), self._vocab_size), np.float32)
        for at in range(0, len(ids), self._batch_size):
            part = ids[at : at + self._batch_size]
            every = (ctypes.c_int8 * len(part))(*[1] * len(part))
            tokens = (llama.llama_token * len(part))(*part)
            self._decode(llama.llama_batch(n_tokens=len(part), token=tokens, logits=every))
            for row in range(len(part)):
                rows[at + row] = self._logits_at(row)
        return rows

    def generate(self, ids: list[int], max_new_tokens: int) -> list[int]:
        """See :class:`mobilevlm_host.bench.peer.peer_round.RoundEngine`."""
        tokens: list[int] = []
        while len(tokens) < max_new_tokens:
            self.feed(ids)
            token = int(self._logits_at(-1).argmax())
            if token == self._eos_id:
                break
            tokens.append(token)
            ids = [token]
        return tokens

    def _logits_at(self, row: int) -> NDArray[np.float32]:
        """Logits [V] of a ``row`` of the last batch; the next batch overwrites them."""
        values: Any = llama.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(values, (self._vocab_size,))

    def _decode(self, batch: Any) -> None:
        if llama.llama_decode(self._context, batch):
            raise RunnerError(f"llama.cpp: can't decode {batch.n_tokens} tokens ({_reason()})")

    def _tokenize(self, text: str) -> list[int]:
        encoded = text.encode()
        room = len(encoded) + 8
        ids = (llama.llama_token * room)()
        count = llama.llama_tokenize(self._vocabulary, encoded, len(encoded), ids, room, False, False)
        return list(ids[:count])

    @contextmanager
    def _image_chunk(self, pixels: NDArray[np.uint8]) -> Iterator[Any]:
        """The image as the multimodal library's input, which already has the right size and isn't resized."""
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap: Any = mtmd.mtmd_bitmap_init(width, height, data)
        chunks: Any = mtmd.mtmd_input_chunks_init()
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(text=marker, text_len=len(marker), add_special=False, parse_special=False)
        try:
            bitmaps = (ctypes.c_void_p * 1)(bitmap)
            if mtmd.mtmd_tokenize(self._vision, chunks, ctypes.byref(text), bitmaps, 1):
                raise RunnerError(f"{self._projector_file}: llama.cpp can't read the image ({_reason()})")
            found = [mtmd.mtmd_input_chunks_get(chunks, at) for at in range(mtmd.mtmd_input_chunks_size(chunks))]
            images = [c for c in found if mtmd.mtmd_input_chunk_get_type(c) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE]
            yield images[0]
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)


def quantize(
    source: Path,
    output: Path,
    file_type: str,
    threads: int,
    importance: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write the language model ``source`` to ``output`` as ``file_type``, such as ``Q4_0``, with llama.cpp's own quantizer.

    ``importance`` is the mean square of each input of a weight, by the weight's name.

    Raises:
        RunnerError: it fails.
    """
    options = llama.llama_model_quantize_default_params()
    options.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{file_type}")
    options.nthread = threads
    if importance:
        options.imatrix = _importance_array(importance)
    if llama.llama_model_quantize(str(source).encode(), str(output).encode(), ctypes.byref(options)):
        raise RunnerError(f"{source}: llama.cpp can't quantize it to {file_type} ({_reason()})")


def _importance_array(importance: Mapping[str, NDArray[np.float32]]) -> Any:
    """A C array that ends with an entry without a name, and keeps what it points to alive."""
    entries = (llama.llama_model_imatrix_data * (len(importance) + 1))()
    for entry, (name, values) in zip(entries, importance.items(), strict=False):
        copied = (ctypes.c_float * len(values))(*values)
        entry.name, entry.data, entry.size = name.encode(), copied, len(values)
    return entries


def _made(pointer: Any, file: str) -> Any:
    if not pointer:
        raise RunnerError(f"{file}: llama.cpp can't load it ({_reason()})")
    return pointer


def _reason() -> str:
    return _errors[-1] if _errors else "without an error message"


if __name__ == "__main__":
    run(LlamaCppEngine)
