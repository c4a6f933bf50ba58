"""Interleaved rounds of both engines on one checkpoint, each in a fresh process, with the machine's limits at the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.demo.held_out import held_out, scene_image
from mobilevlm_export.demo.questions import QA, is_right
from mobilevlm_export.files.scratch import ScratchFolder
from mobilevlm_export.pixels import open_image, preprocess
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.fp32_answer import answer_fp32
from mobilevlm_host.bench.load_round import load_in_memory_s, load_writing_s
from mobilevlm_host.bench.measurement import Figures, Spread, in_child, interleaved
from mobilevlm_host.bench.operations import per_image, per_prefilled_token
from mobilevlm_host.bench.peer.comparison_report import Accuracy, ComparedSystem, PeerComparison
from mobilevlm_host.bench.peer.peer_files import LlamaCppFiles, kit_bytes, kit_bytes_per_token
from mobilevlm_host.bench.peer.peer_round import Job, Prompt

KIT, IN_MEMORY, LIMITS = "mvlm", "mvlm, weights in memory", "limits"
QUESTION = "What is in this picture? Describe it in detail."
_PICTURE = DEMO_SAMPLES / "word-and-shapes.png"
_PREFILL_TOKENS = 256
_MAX_NEW_TOKENS = 80


@dataclass(frozen=True)
class _JobWriter:
    """Writes jobs, common to all engines, to a folder from which their processes read them."""

    folder: Path
    bundle: Bundle
    threads: int

    def job(self, name: str, questions: Sequence[tuple[Image, str]], answers: int = 0) -> Job:
        tokenizer, manifest = Tokenizer(self.bundle.tokenizer()), self.bundle.manifest
        # Already square and of the model's size, so that neither engine has to resize.
        pixels = np.stack([preprocess(image, self.bundle.config).permute(1, 2, 0).numpy() for image, _ in questions])
        file = self.folder / f"{name}.npy"
        np.save(file, pixels)
        length = min(_PREFILL_TOKENS, manifest.max_prefill, manifest.max_context // 2)
        return Job(
            files=[],
            pixels=str(file),
            prompts=[_prompt(tokenizer, question) for _, question in questions],
            threads=self.threads,
            context=manifest.max_context,
            eos_id=self.bundle.config.eos_id,
            prefill_ids=[3 + 7919 * at % (tokenizer.vocab_size - 3) for at in range(length)],
            answers=answers,
        )

    def run(self, module: str, job: Job, files: Sequence[Path]) -> Any:
        """The result of ``module`` for ``job`` with its own ``files``, in a fresh process."""
        values = job.to_json() | {"files": [str(file) for file in files]}
        path = self.folder / "job.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        return in_child(module, {"job": str(path)})


def compare(
    checkpoint: Path,
    bundle: Bundle,
    peers: Sequence[LlamaCppFiles],
    *,
    threads: int,
    rounds: int,
    questions: int = 0,
    progress: Progress = silent,
) -> PeerComparison:
    """Measure ``bundle`` and ``peers`` in ``rounds`` rounds; all of them, and the fp32 model, answer ``questions`` held-out questions of
    the demo.

    Raises:
        RunnerError: an engine fails, or its tokenizer returns other ids for the prompt than the checkpoint's.
    """
    with ScratchFolder() as folder:
        jobs = _JobWriter(folder, bundle, threads)
        job = jobs.job("picture", [(open_image(_PICTURE), QUESTION)])
        engines = {KIT: ("mobilevlm_host.bench.peer.kit_engine", [bundle.path])}
        engines |= {
            peer.name: ("mobilevlm_host.bench.peer.llama_cpp_engine", [peer.language_model, peer.projector])
            for peer in peers
        }
        runs: dict[str, Callable[[], Figures]] = {
            name: partial(jobs.run, module, job, files) for name, (module, files) in engines.items()
        }
        runs[LIMITS] = partial(in_child, "mobilevlm_host.bench.peer.machine_limits", {"threads": threads})
        for done, name in enumerate(engines):
            progress("warming the file cache", done, len(engines))
            runs[name]()
        progress("warming the file cache", len(engines), len(engines))
        if writing_s := load_writing_s(bundle, threads):
            runs[IN_MEMORY] = lambda: {"load_in_memory_s": load_in_memory_s(bundle, threads)}
        figures = interleaved(runs, rounds, progress)
        accuracy = _answers(jobs, checkpoint, engines, _held_out(questions), progress) if questions else {}
    config = bundle.config
    return PeerComparison(
        model=config.name,
        threads=threads,
        rounds=rounds,
        prefill_tokens=len(job.prefill_ids),
        limits=figures.pop(LIMITS),
        loads=figures.pop(IN_MEMORY) | {"load_writing_s": Spread((writing_s,))} if writing_s else {},
        kit=ComparedSystem(
            f"{KIT} {bundle.manifest.values['quantization']['recipe']['name']}",
            kit_bytes(bundle),
            kit_bytes_per_token(bundle),
            figures[KIT],
            accuracy.get(KIT),
        ),
        peers=[
            ComparedSystem(
                peer.name,
                peer.bytes,
                peer.bytes_per_token,
                figures[peer.name],
                accuracy.get(peer.name),
                peer.types,
            )
            for peer in peers
        ],
        operations_per_token=per_prefilled_token(config),
        operations_per_image=per_image(config),
    )


def _prompt(tokenizer: Tokenizer, question: str) -> Prompt:
    before, after = prompt.prefix(), prompt.after_image(question)
    return Prompt(before, [tokenizer.bos_id, *tokenizer.encode(before)], after, tokenizer.encode(after))


def _answers(
    jobs: _JobWriter,
    checkpoint: Path,
    engines: dict[str, tuple[str, list[Path]]],
    questions: list[tuple[Image, QA]],
    progress: Progress,
) -> dict[str, Accuracy]:
    """How often each engine gives the fp32 model's answer, and the correct answer."""
    torch.set_num_threads(1)  # as below: the demo is so small that more threads only slow it down
    model, tokenizer = load_checkpoint(checkpoint), Tokenizer(jobs.bundle.tokenizer())
    expected = []
    for image, qa in questions:
        expected.append(answer_fp32(model, tokenizer, image, qa.question, _MAX_NEW_TOKENS))
        progress("answers of the fp32 model", len(expected), len(questions))
    job = jobs.job("questions", [(image, qa.question) for image, qa in questions], _MAX_NEW_TOKENS)
    job = replace(job, threads=1)
    found = {}
    for done, (name, (module, files)) in enumerate(engines.items()):
        progress("answers of the engines", done, len(engines))
        given = [tokenizer.decode(ids) for ids in jobs.run(module, job, files)["answers"]]
        found[name] = Accuracy(
            questions=len(questions),
            same=sum(answer == oracle for answer, oracle in zip(given, expected, strict=True)),
            right=_right(given, questions),
            fp32_right=_right(expected, questions),
        )
    progress("answers of the engines", len(engines), len(engines))
    return found


def _held_out(count: int) -> list[tuple[Image, QA]]:
    return [(scene_image(each.seed), each.qa) for each in islice(held_out(), count)]


def _right(answers: Sequence[str], questions: Sequence[tuple[Image, QA]]) -> int:
    return sum(is_right(answer, qa.answer, qa.kind) for answer, (_, qa) in zip(answers, questions, strict=True))
