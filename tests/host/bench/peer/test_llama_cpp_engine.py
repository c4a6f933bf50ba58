"""Through llama.cpp's C API a model answers as in torch, and failures are one-line errors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_llama_cpp import FakeLlamaCpp
from tiny import random_model

from mobilevlm_export.errors import RunnerError
from mobilevlm_host.bench.peer.gguf_files import write_projector
from mobilevlm_host.bench.peer.peer_round import Job, answers, measure


@pytest.fixture(scope="module")
def projector(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "projector.gguf"
    write_projector(tiny_checkpoint, path)
    return path


@pytest.fixture
def job(job: Job, projector: Path) -> Job:
    return replace(job, files=["model.gguf", str(projector)], threads=3)


@pytest.fixture
def module(llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch) -> Any:
    return llama_cpp.install(monkeypatch)


@pytest.mark.parametrize("batch", [512, 3])
def test_it_answers_as_the_model(
    job: Job,
    module: Any,
    expected: list[list[int]],
    llama_cpp: FakeLlamaCpp,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    monkeypatch.setattr(module, "_PHYSICAL_BATCH", batch)
    assert answers(lambda: module.LlamaCppEngine(job), replace(job, answers=12)) == expected
    longest = max(len(ids) for each in job.prompts for ids in (each.before_ids, each.after_ids))
    assert max(llama_cpp.decoded) == min(batch, longest)
    assert llama_cpp.images == 0


def test_the_end_of_text_ends_an_answer(job: Job, module: Any, expected: list[list[int]]) -> None:
    ended = replace(job, eos_id=expected[0][4], answers=12)
    assert answers(lambda: module.LlamaCppEngine(ended), ended)[0] == expected[0][: expected[0].index(ended.eos_id)]


def test_context_and_threads_are_the_jobs(job: Job, module: Any, llama_cpp: FakeLlamaCpp) -> None:
    module.LlamaCppEngine(job)
    assert vars(llama_cpp.options) == {
        "n_ctx": 256, "n_batch": 256, "n_ubatch": 256, "n_threads": 3, "n_threads_batch": 3,
    }  # fmt: skip
    assert vars(llama_cpp.vision_options) == {"use_gpu": False, "print_timings": False, "n_threads": 3}
    module.LlamaCppEngine(replace(job, context=2048))
    assert (llama_cpp.options.n_ctx, llama_cpp.options.n_batch, llama_cpp.options.n_ubatch) == (2048, 512, 512)


def test_it_is_measured(job: Job, module: Any, llama_cpp: FakeLlamaCpp) -> None:
    figures = measure(lambda: module.LlamaCppEngine(job), job)
    assert all(value > 0 for name, value in figures.items() if name != "own_memory_bytes")
    assert llama_cpp.decoded[-26:] == [30, 30, *[1] * 24]


def test_an_images_embeddings_outlive_the_next_image(
    job: Job, module: Any, llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.PoolAndPeg, "of", lambda file: None)  # as where llama.cpp computes all of LDPv2
    engine = module.LlamaCppEngine(job)
    pixels = np.load(job.pixels)
    first = engine.encode(pixels[0])
    kept = first.copy()
    second = engine.encode(pixels[1])
    np.testing.assert_array_equal(first, kept)
    assert not np.allclose(first, second)
    assert first.dtype == np.float32


@pytest.mark.parametrize("batch", [512, 3])
def test_logits_are_those_after_each_token(job: Job, module: Any, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(module, "_PHYSICAL_BATCH", batch)
    engine, model = module.LlamaCppEngine(job), random_model()
    embeds = model.token_embedding(torch.tensor([9, 8]))
    engine.feed([1, 17])
    engine.feed_embeds(embeds.numpy())
    got = engine.logits([30, 31, 32, 33])
    assert got.dtype == np.float32
    expected = model.text_decoder(model.embed([[1, 17], embeds, [30, 31, 32, 33]]))[0, -4:]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_reset_clears_images_and_prompts(job: Job, module: Any, llama_cpp: FakeLlamaCpp) -> None:
    engine = module.LlamaCppEngine(job)
    for _ in range(20):  # together they are longer than the context
        engine.reset()
        engine.feed(job.prefill_ids)
    assert len(llama_cpp.decoded) == 20


def test_other_ids_of_the_prompt_are_refused(job: Job, module: Any) -> None:
    other = replace(job.prompts[0], before_ids=[1, *job.prompts[0].before_ids])
    with pytest.raises(RunnerError, match=r"^model\.gguf: got ids \(\[1, "):
        measure(lambda: module.LlamaCppEngine(job), replace(job, prompts=[other]))


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ("llama_model_load_from_file", "model.gguf: llama.cpp can't load it"),
        ("llama_init_from_model", "model.gguf: llama.cpp can't load it"),
        ("mtmd_init_from_file", "{projector}: llama.cpp can't load it"),
        ("mtmd_tokenize", "{projector}: llama.cpp can't read the image"),
        ("mtmd_encode_chunk", "{projector}: llama.cpp can't encode the image"),
        ("llama_decode", "llama.cpp: can't decode {tokens} tokens"),
    ],
)
def test_failures_are_one_line_with_llama_cpps_reason(
    job: Job, module: Any, llama_cpp: FakeLlamaCpp, failing: str, said: str
) -> None:
    llama_cpp.failing = failing
    expected = said.format(projector=job.files[1], tokens=len(job.prompts[0].before_ids))
    with pytest.raises(RunnerError, match=re.escape(f"{expected} ({failing} is out of luck)") + "$"):
        measure(lambda: module.LlamaCppEngine(job), job)
    assert llama_cpp.images == 0


def test_a_failure_without_a_reason_is_reported(job: Job, module: Any) -> None:
    engine = module.LlamaCppEngine(replace(job, context=20))
    with pytest.raises(RunnerError, match=r"can't decode 10 tokens \(without an error message\)$"):
        engine.feed(job.prefill_ids)


def test_all_of_llama_cpps_logs_are_caught(module: Any, llama_cpp: FakeLlamaCpp) -> None:
    assert set(llama_cpp.loggers) == {"llama_log_set", "mtmd_log_set", "mtmd_helper_log_set"}


def test_the_quantizer_is_llama_cpps_own(module: Any, llama_cpp: FakeLlamaCpp, tmp_path: Path) -> None:
    (tmp_path / "f16.gguf").write_bytes(b"weights")
    module.quantize(tmp_path / "f16.gguf", tmp_path / "small.gguf", "Q4_K_M", threads=5)
    assert llama_cpp.quantized == [("small.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, 5)]
    assert (tmp_path / "small.gguf").read_bytes() == b"weights"
    llama_cpp.failing = "llama_model_quantize"
    with pytest.raises(RunnerError, match=r"f16\.gguf: llama\.cpp can't quantize it to Q4_0 \(llama_model_quantize is"):
        module.quantize(tmp_path / "f16.gguf", tmp_path / "small.gguf", "Q4_0", threads=5)


def test_the_quantizer_weighs_channels_by_importance(module: Any, llama_cpp: FakeLlamaCpp, tmp_path: Path) -> None:
    (tmp_path / "f16.gguf").write_bytes(b"weights")
    given = {"blk.0.attn_q.weight": np.array([1, 2.5, 0], np.float32), "blk.0.attn_v.weight": np.ones(2, np.float32)}
    module.quantize(tmp_path / "f16.gguf", tmp_path / "small.gguf", "Q4_K_M", 1, given)
    assert llama_cpp.importance == [{"blk.0.attn_q.weight": [1, 2.5, 0], "blk.0.attn_v.weight": [1, 1]}]
