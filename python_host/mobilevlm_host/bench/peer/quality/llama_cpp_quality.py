"""How closely llama.cpp's quantizations follow the fp32 model, by llama.cpp itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from gguf import GGUFReader
from numpy.typing import NDArray
from torch import Tensor

from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.bench.measurement import in_child
from mobilevlm_host.bench.peer.gguf_files import F16, Q8_0, write_language_model, write_projector
from mobilevlm_host.bench.peer.quality.exam import Exam, faithfulness
from mobilevlm_host.bench.peer.quality.exam_files import EMBEDS, PIXELS, QUESTIONS
from mobilevlm_host.bench.peer.quality.importance_matrix import importance_matrix
from mobilevlm_host.bench.peer.quality.quality_report import QualityRow

PEER = "llama.cpp"


class _Quantization(NamedTuple):
    """A type of language model, with an importance matrix or not."""

    file_type: str
    importance: bool = False

    @property
    def name(self) -> str:
        return f"{self.file_type} imatrix" if self.importance else self.file_type


# The projector is F16 with F16, and Q8_0 with all others.
UNQUANTIZED = "F16"
QUANTIZATIONS = (
    _Quantization(UNQUANTIZED),
    _Quantization("Q8_0"),
    _Quantization("Q4_K_M"),
    _Quantization("Q4_K_M", importance=True),
    _Quantization("Q4_0"),
)


class LlamaCppExam:
    """An exam of llama.cpp, with its files in ``folder``. ``model`` is the fp32 model that ``checkpoint`` contains."""

    def __init__(self, checkpoint: Path, model: MobileVLM, exam: Exam, folder: Path, threads: int) -> None:
        self._config, self._exam, self._folder, self._threads = model.config, exam, folder, threads
        (folder / QUESTIONS).write_text(json.dumps([asdict(each) for each in exam.questions]), encoding="utf-8")
        np.save(folder / PIXELS, exam.images.permute(0, 2, 3, 1).numpy())
        np.save(folder / EMBEDS, exam.embeds(model).numpy())
        self._unquantized = folder / "f16.gguf"
        write_language_model(checkpoint, self._unquantized)
        self._projectors = {kind: folder / f"projector-{kind.name}.gguf" for kind in (F16, Q8_0)}
        for kind, file in self._projectors.items():
            write_projector(checkpoint, file, kind)

    def rows(self, reference: Tensor, progress: Progress = silent) -> list[QualityRow]:
        """A row for each quantization; ``reference`` are the fp32 model's logits.

        Whole models are compared with llama.cpp's own F16, because its image encoder has a fault that costs more than any
        quantization: docs/explanation/performance.md. F16 itself is compared with the fp32 model.

        Raises:
            RunnerError: llama.cpp or one of its tools fails.
        """
        found: list[QualityRow] = []
        importance = importance_matrix(self._unquantized, self._config.llm.max_position_embeddings, self._threads)
        own_reference = reference
        for done, quantization in enumerate(QUANTIZATIONS):
            progress("llama.cpp's quantizations", done, len(QUANTIZATIONS))
            language_model, projector = self._files(quantization, importance)
            decoder, whole = (self._logits(language_model, projector, images) for images in (EMBEDS, PIXELS))
            size, more = _tensor_bytes(language_model), _tensor_bytes(projector)
            alike, alike_whole = (
                faithfulness(self._exam, expected, got)
                for expected, got in ((reference, decoder), (own_reference, whole))
            )
            found.append(QualityRow(PEER, quantization.name, size, alike, size + more, alike_whole))
            if quantization.file_type == UNQUANTIZED:
                own_reference = whole
        progress("llama.cpp's quantizations", len(QUANTIZATIONS), len(QUANTIZATIONS))
        return found

    def _files(self, quantization: _Quantization, importance: Mapping[str, NDArray[np.float32]]) -> tuple[Path, Path]:
        """The language model, which replaces the last one, and the projector."""
        from mobilevlm_host.bench.peer.llama_cpp_engine import quantize

        if quantization.file_type == UNQUANTIZED:
            return self._unquantized, self._projectors[F16]
        file = self._folder / "quantized.gguf"
        given = importance if quantization.importance else None
        quantize(self._unquantized, file, quantization.file_type, self._threads, given)
        return file, self._projectors[Q8_0]

    def _logits(self, language_model: Path, projector: Path, images: str) -> Tensor:
        output = self._folder / "logits.npy"
        request = {
            "files": [str(language_model), str(projector)],
            "folder": str(self._folder),
            "images": images,
            "output": str(output),
            "threads": self._threads,
            "context": self._config.llm.max_position_embeddings,
            "eos_id": self._config.eos_id,
        }
        in_child("mobilevlm_host.bench.peer.quality.llama_cpp_logits", request)
        return torch.from_numpy(np.load(output))


def _tensor_bytes(file: Path) -> int:
    return sum(int(tensor.n_bytes) for tensor in GGUFReader(file).tensors)
