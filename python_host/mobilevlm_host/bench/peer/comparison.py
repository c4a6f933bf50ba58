"""Both engines in turns on one checkpoint, a fresh process each round, and how the machine's limits stood at the time."""

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
from mobilevlm_host.bench.measurement import Figures, in_child, interleaved
from mobilevlm_host.bench.operations import per_image, per_prefilled_token
from mobilevlm_host.bench.peer.comparison_report import Accuracy, Comparison, System
from mobilevlm_host.bench.peer.peer_files import LlamaCppFiles, kit_bytes, kit_bytes_per_token
from mobilevlm_host.bench.peer.peer_round import Job, Prompt

KIT, LIMITS = "mvlm", "limits"
QUESTION = "What is in this picture? Describe it in detail."
_PICTURE = DEMO_SAMPLES / "word-and-shapes.png"
_PREFILL_TOKENS = 256
_MAX_NEW_TOKENS = 80


@dataclass(frozen=True)
class _Asked:
    """A job for every engine, written where their processes read it."""

    folder: Path
    bundle: Bundle
    threads: int

    def job(self, name: str, questions: Sequence[tuple[Image, str]], answers: int = 0) -> Job:
        tokenizer, manifest = Tokenizer(self.bundle.tokenizer()), self.bundle.manifest
        # Square and of the model's size already: neither engine has to resize.
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
        """What ``module`` makes of ``job`` with its own ``files``, in a fresh process."""
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
) -> Comparison:
    """Measure ``bundle`` beside ``peers`` in ``rounds`` rounds; ``questions`` held-out ones of the demo are answered by all and by the fp32
    model.

    Raises:
        RunnerError: an engine fails, or its tokenizer gives other ids for the prompt than the checkpoint's.
    """
    with ScratchFolder() as folder:
        asked = _Asked(folder, bundle, threads)
        job = asked.job("picture", [(open_image(_PICTURE), QUESTION)])
        engines = {KIT: ("mobilevlm_host.bench.peer.kit_engine", [bundle.path])}
        engines |= {
            peer.name: ("mobilevlm_host.bench.peer.llama_cpp_engine", [peer.language_model, peer.projector])
            for peer in peers
        }
        runs: dict[str, Callable[[], Figures]] = {
            name: partial(asked.run, module, job, files) for name, (module, files) in engines.items()
        }
        runs[LIMITS] = partial(in_child, "mobilevlm_host.bench.peer.machine_limits", {"threads": threads})
        for name in engines:
            runs[name]()  # fills the file cache
        figures = interleaved(runs, rounds, progress)
        accuracy = _answers(asked, checkpoint, engines, _held_out(questions), progress) if questions else {}
    config = bundle.config
    return Comparison(
        model=config.name,
        threads=threads,
        rounds=rounds,
        prefill_tokens=len(job.prefill_ids),
        limits=figures.pop(LIMITS),
        kit=System(
            f"{KIT} {bundle.manifest.values['quantization']['recipe']['name']}",
            kit_bytes(bundle),
            kit_bytes_per_token(bundle),
            figures[KIT],
            accuracy.get(KIT),
        ),
        peers=[
            System(
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
    asked: _Asked,
    checkpoint: Path,
    engines: dict[str, tuple[str, list[Path]]],
    questions: list[tuple[Image, QA]],
    progress: Progress,
) -> dict[str, Accuracy]:
    """How often each engine says what the fp32 model says, and is right."""
    torch.set_num_threads(1)  # as below: the demo is so small that threads only wait for each other
    model, tokenizer = load_checkpoint(checkpoint), Tokenizer(asked.bundle.tokenizer())
    expected = []
    for image, qa in questions:
        expected.append(answer_fp32(model, tokenizer, image, qa.question, _MAX_NEW_TOKENS))
        progress("answers of the fp32 model", len(expected), len(questions))
    job = asked.job("questions", [(image, qa.question) for image, qa in questions], _MAX_NEW_TOKENS)
    job = replace(job, threads=1)
    found = {}
    for done, (name, (module, files)) in enumerate(engines.items()):
        progress("answers of the engines", done, len(engines))
        given = [tokenizer.decode(ids) for ids in asked.run(module, job, files)["answers"]]
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
