"""Both engines' files come from one checkpoint, are made once and completely, and have the expected sizes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_llama_cpp import FakeLlamaCpp
from gguf import GGUFReader
from tiny import TINY, random_model

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import checkpoint_sha256
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import BundleError, CheckpointError, RunnerError
from mobilevlm_export.job import ExportJob
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.bench.peer import gguf_files, gguf_projectors
from mobilevlm_host.bench.peer import peer_files as files
from mobilevlm_host.bench.peer.gguf_files import write_language_model
from mobilevlm_host.bench.peer.peer_files import (
    LlamaCppFiles,
    bundle_of,
    checkpoint_of,
    kit_bytes,
    kit_bytes_per_token,
    llama_cpp_files,
)

LLM = TINY.llm


def files_of(checkpoint: Path, work: Path, threads: int, progress: Progress = silent) -> list[LlamaCppFiles]:
    return llama_cpp_files(checkpoint, checkpoint_sha256(checkpoint), work, threads, progress)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def decoder_weights() -> tuple[int, int]:
    """The number of weights in the layers' matrices, and in all norms."""
    parameters = dict(random_model().text_decoder.named_parameters())
    matrices = sum(each.numel() for name, each in parameters.items() if "proj" in name)
    return matrices, sum(each.numel() for name, each in parameters.items() if "norm" in name)


def test_a_size_names_a_checkpoint(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, Path]] = []

    def synth(size: str, folder: Path, progress: object) -> None:
        made.append((size, folder))
        folder.mkdir()

    monkeypatch.setattr(files, "synth_checkpoint", synth)
    assert checkpoint_of("demo", tmp_path) == DEMO_CHECKPOINT
    assert checkpoint_of(str(tiny_checkpoint), tmp_path) == tiny_checkpoint
    assert made == []
    for _ in range(2):  # the second time it is there
        assert checkpoint_of("3b", tmp_path) == tmp_path / "random-3b"
    assert made == [("3b", tmp_path / "random-3b")]
    with pytest.raises(CheckpointError, match=r"^3.b: no such folder, expected demo, 1\.7b, .*, llava-1\.5-7b or a"):
        checkpoint_of("3.b", tmp_path)


def test_a_given_bundle_is_of_the_checkpoint(
    tiny_bundle: Bundle, tiny_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    with bundle_of(tiny_checkpoint, tiny_bundle.path, tmp_path) as opened:
        assert opened.path == tiny_bundle.path
    assert tiny_bundle.path.is_dir()
    said = rf"tiny\.mvlm: got a bundle of another checkpoint, expected one of {other_checkpoint}$"
    with pytest.raises(BundleError, match=said), bundle_of(other_checkpoint, tiny_bundle.path, tmp_path):
        pass


def test_a_bundle_for_another_engine_is_refused(
    tiny_coreml_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(BundleError, match=r"tiny-coreml\.mvlm: got artifacts for coreml, expected executorch"),
        bundle_of(tiny_checkpoint, tiny_coreml_bundle.path, tmp_path),
    ):
        pass


def test_a_damaged_bundle_is_refused(tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mvlm"
    shutil.copytree(tiny_bundle.path, damaged)
    program = damaged / tiny_bundle.artifact("executorch").name
    content = bytearray(program.read_bytes())
    content[len(content) // 2] ^= 1
    program.write_bytes(content)
    with pytest.raises(BundleError, match="the file is damaged"), bundle_of(tiny_checkpoint, damaged, tmp_path):
        pass


def test_without_a_bundle_a_temporary_int4_bundle_is_made(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[ExportJob] = []

    def export(job: ExportJob, progress: object) -> Bundle:
        jobs.append(job)
        shutil.copytree(tiny_bundle.path, job.output)
        return Bundle(job.output, tiny_bundle.manifest)

    monkeypatch.setattr(files, "export_bundle", export)
    with bundle_of(tiny_checkpoint, None, tmp_path) as opened:
        assert opened.path.is_relative_to(tmp_path)
        assert opened.artifact("executorch").is_file()
    assert names(tmp_path) == []
    assert [(job.checkpoint, job.recipe, job.backends) for job in jobs] == [
        (tiny_checkpoint, RECIPES["int4"], ("executorch",))
    ]


def test_the_kits_size_counts_only_what_runs(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """A bundle for both platforms contains another program too."""
    both = tmp_path / "both.mvlm"
    shutil.copytree(tiny_bundle.path, both)
    (both / "text_decoder.mlpackage").write_bytes(bytes(1 << 20))
    files = ("model.pte", "tokenizer.json")
    expected = sum((tiny_bundle.path / name).stat().st_size for name in files)
    assert kit_bytes(Bundle(both, tiny_bundle.manifest)) == expected


def test_decoding_reads_the_layers_and_the_head(tiny_bundle: Bundle) -> None:
    matrices, _ = decoder_weights()
    assert kit_bytes_per_token(tiny_bundle) == 4 * (matrices + LLM.hidden_size * LLM.vocab_size)


def test_llama_cpp_reads_all_but_an_embedding_that_is_not_the_head_too(
    tiny_checkpoint: Path, tied_checkpoint: Path, tmp_path: Path
) -> None:
    write_language_model(tiny_checkpoint, tmp_path / "a.gguf")
    found = LlamaCppFiles("F16", tmp_path / "a.gguf", tmp_path / "projector.gguf")
    matrices, norms = decoder_weights()
    head = LLM.hidden_size * LLM.vocab_size
    assert found.bytes_per_token == 2 * (matrices + head) + 4 * norms
    assert found.types == f"{7 * LLM.num_layers + 2} F16"  # norms are no matrices
    (tmp_path / "projector.gguf").write_bytes(b"p" * 7)
    assert found.bytes == (tmp_path / "a.gguf").stat().st_size + 7

    write_language_model(tied_checkpoint, tmp_path / "b.gguf")
    assert LlamaCppFiles("F16", tmp_path / "b.gguf", tmp_path / "b.gguf").bytes_per_token == found.bytes_per_token


MADE = ["language-model-Q4_0.gguf", "language-model-Q4_K_M.gguf", "projector-f16.gguf", "projector-q8_0.gguf"]


def test_llama_cpps_files_are_made_once(
    tiny_checkpoint: Path, tmp_path: Path, llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama_cpp.install(monkeypatch)
    work = tmp_path / "not" / "there"
    stages: list[tuple[str, int, int]] = []
    found = files_of(tiny_checkpoint, work, 3, lambda *step: stages.append(step))
    assert [each.name for each in found] == ["Q4_0 + F16", "Q4_K_M + Q8_0"]
    (folder,) = work.iterdir()
    assert names(folder) == MADE
    assert [each.language_model.name for each in found] == MADE[:2]
    assert [each.projector.name for each in found] == MADE[2:]
    assert llama_cpp.quantized == [(MADE[0], 2, 3), (MADE[1], 15, 3)]
    # What is quantized is the checkpoint, and the projectors differ in the type of their linears.
    assert len(GGUFReader(found[0].language_model).tensors) == 3 + 9 * LLM.num_layers
    kinds = [{t.tensor_type.name for t in GGUFReader(each.projector).tensors} for each in found]
    assert kinds == [{"F16", "F32"}, {"F16", "F32", "Q8_0"}]
    assert [step[1:] for step in stages if step[0] == "quantizing with llama.cpp"] == [(0, 2), (1, 2), (2, 2)]

    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert files_of(tiny_checkpoint, work, 3) == found
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    found[1].language_model.unlink()
    files_of(tiny_checkpoint, work, 3)
    assert [name for name, *_ in llama_cpp.quantized] == [*MADE[:2], MADE[1]]
    assert names(folder) == MADE


def test_files_are_remade_for_another_checkpoint_writer_or_llama_cpp(
    tiny_checkpoint: Path,
    other_checkpoint: Path,
    tmp_path: Path,
    llama_cpp: FakeLlamaCpp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llama_cpp.install(monkeypatch)
    (first,) = {each.language_model.parent for each in files_of(tiny_checkpoint, tmp_path / "work", 1)}

    llama_cpp.version = "0.3.37"
    with monkeypatch.context() as newer:
        llama_cpp.install(newer)
        files_of(tiny_checkpoint, tmp_path / "work", 1)

    for module in (gguf_files, gguf_projectors):
        writer = tmp_path / "changed.py"
        writer.write_text(Path(str(module.__file__)).read_text() + "# changed\n")
        with monkeypatch.context() as changed:
            changed.setattr(module, "__file__", str(writer))
            files_of(tiny_checkpoint, tmp_path / "work", 1)

    files_of(other_checkpoint, tmp_path / "work", 1)
    folders = {path.name for path in (tmp_path / "work").iterdir()}
    assert len(folders) == 5
    assert first.name in folders


def test_nothing_is_left_when_the_quantizer_fails(
    tiny_checkpoint: Path, tmp_path: Path, llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama_cpp.install(monkeypatch)
    llama_cpp.failing = "llama_model_quantize"
    with pytest.raises(RunnerError, match=r"can't quantize it to Q4_0 \(llama_model_quantize is out of luck\)"):
        files_of(tiny_checkpoint, tmp_path, 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
