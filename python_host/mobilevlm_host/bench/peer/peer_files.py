"""The files that both engines read, all made from one checkpoint: the kit's bundle, and llama.cpp's GGUF files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gguf import GGUFReader

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256
from mobilevlm_export.checkpoint.synth import synth_checkpoint
from mobilevlm_export.config import PRESETS
from mobilevlm_export.demo.built_in import DEMO, DEMO_CHECKPOINT
from mobilevlm_export.errors import BundleError, CheckpointError
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.bench.peer import gguf_files, gguf_projectors
from mobilevlm_host.bench.peer.gguf_files import Q8_0, write_language_model, write_projector
from mobilevlm_host.bench.peer.gguf_projectors import gguf_projector

LANGUAGE_MODELS = ("Q4_0", "Q4_K_M")
_EMBEDDING = "token_embd.weight"


@dataclass(frozen=True)
class LlamaCppFiles:
    """The files that llama.cpp loads; ``name`` is the quantization of the language model, and of the tower with the projector."""

    name: str
    language_model: Path
    projector: Path

    @property
    def bytes(self) -> int:
        """The size of both files."""
        return self.language_model.stat().st_size + self.projector.stat().st_size

    @property
    def types(self) -> str:
        """The number of the language model's matrices by type: where a row isn't a multiple of 256, the quantizer falls back."""
        kinds = Counter(t.tensor_type.name for t in GGUFReader(self.language_model).tensors if len(t.shape) > 1)
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights read to decode a token: all but the embedding's, of which only one row is read."""
        tensors = GGUFReader(self.language_model).tensors
        # With tied weights there is no output.weight, and the whole embedding is read.
        tied = not any(tensor.name == "output.weight" for tensor in tensors)
        return sum(int(tensor.n_bytes) for tensor in tensors if tied or tensor.name != _EMBEDDING)


def kit_bytes_per_token(bundle: Bundle) -> int:
    """Bytes of weights that ``bundle`` reads to decode a token: the decoder's layers and its head, as in the program."""
    components = bundle.manifest.values["quantization"]["components"]
    return sum(int(part["bytes_after"]) for part in components if part["component"] in ("llm", "lm_head"))


def kit_bytes(bundle: Bundle) -> int:
    """Bytes of the files that the kit's engine loads: the program and the tokenizer, not those of another backend."""
    return sum(file.stat().st_size for file in (bundle.artifact("executorch"), bundle.tokenizer("json")))


def checkpoint_of(size: str, work: Path, progress: Progress = silent) -> Path:
    """The checkpoint that ``size`` names: ``demo``; a preset, with random weights, created in ``work`` if missing; or a folder.

    Raises:
        CheckpointError: it is none of these, can't be created, or has a projector that llama.cpp doesn't compute.
        ConfigError: its ``config.json`` is malformed or of a model that the kit doesn't support.
    """
    if size == DEMO:
        return DEMO_CHECKPOINT
    if size not in PRESETS:
        if not Path(size).is_dir():
            raise CheckpointError(
                f"{size}: no such folder, expected {DEMO}, {', '.join(PRESETS)} or a checkpoint's folder"
            )
        gguf_projector(read_config(Path(size)), Path(size))
        return Path(size)
    folder = work / f"random-{size}"
    if not folder.is_dir():
        synth_checkpoint(size, folder, progress=progress)
    return folder


@contextmanager
def bundle_of(checkpoint: Path, given: Path | None, work: Path, progress: Progress = silent) -> Iterator[Bundle]:
    """The bundle ``given``, verified, or a new int4 bundle in ``work``, which is removed afterwards.

    Raises:
        CheckpointError: ``checkpoint`` isn't a checkpoint.
        BundleError: ``given`` is damaged, not for ExecuTorch, or was made from another checkpoint.
    """
    if given is None:
        with ScratchFolder(work, "bundle") as folder:
            yield export_bundle(ExportJob(checkpoint, folder / "int4.mvlm", RECIPES["int4"]), progress)
        return
    with Bundle.open(given, progress=progress) as opened:
        if opened.manifest.source_sha256 != checkpoint_sha256(checkpoint, progress):
            raise BundleError(f"{given}: got a bundle of another checkpoint, expected one of {checkpoint}")
        opened.artifact("executorch")
        yield opened


def llama_cpp_files(
    checkpoint: Path, source_sha256: str, work: Path, threads: int, progress: Progress = silent
) -> list[LlamaCppFiles]:
    """``checkpoint`` for llama.cpp: Q4_0 with a float16 projector, and Q4_K_M with a Q8_0 projector. The files are cached and remade
    when the weights, the writer or llama.cpp change; ``source_sha256`` is the checkpoint's hash.

    Raises:
        CheckpointError, RunnerError: it can't be read or quantized.
    """
    import llama_cpp

    from mobilevlm_host.bench.peer.llama_cpp_engine import quantize

    source = source_sha256 + llama_cpp.__version__
    for writer in (gguf_files.__file__, gguf_projectors.__file__):
        source += Path(writer).read_text(encoding="utf-8")
    folder = work / f"gguf-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    language_models = {kind: folder / f"language-model-{kind}.gguf" for kind in LANGUAGE_MODELS}
    if missing := {kind: file for kind, file in language_models.items() if not file.exists()}:
        with ScratchFolder(folder) as temporary:
            whole = temporary / "f16.gguf"
            write_language_model(checkpoint, whole, progress)
            for done, (kind, file) in enumerate(missing.items()):
                progress("quantizing with llama.cpp", done, len(missing))
                made = whole.with_name(file.name)
                quantize(whole, made, kind, threads)
                made.rename(file)
            progress("quantizing with llama.cpp", len(missing), len(missing))
    projectors = {gguf_files.F16: folder / "projector-f16.gguf", Q8_0: folder / "projector-q8_0.gguf"}
    for linears, file in projectors.items():
        if not file.exists():
            write_projector(checkpoint, file, linears, progress)
    return [
        LlamaCppFiles(f"{kind} + {linears.name}", language_models[kind], projectors[linears])
        for kind, linears in zip(LANGUAGE_MODELS, projectors, strict=True)
    ]
