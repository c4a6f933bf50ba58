"""What llama.cpp predicts for each token of given answers, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilevlm_host.bench.measurement import print_figures
from mobilevlm_host.bench.peer.llama_cpp_engine import LlamaCppEngine
from mobilevlm_host.bench.peer.peer_round import Job
from mobilevlm_host.bench.peer.quality.exam_files import EMBEDS, QUESTIONS


def answer_logits(engine: LlamaCppEngine, folder: Path, images: str) -> NDArray[np.float32]:
    """Logits [T, V] for the questions in ``folder``, one after another; ``images`` is ``PIXELS`` or ``EMBEDS``."""
    shown, rows = np.load(folder / images), []
    encoded: dict[int, NDArray[np.float32]] = {}
    for question in json.loads((folder / QUESTIONS).read_text(encoding="utf-8")):
        at, answer = question["image"], question["answer"]
        if at not in encoded:  # questions about an image follow each other
            encoded = {at: shown[at] if images == EMBEDS else engine.encode(shown[at])}
        engine.reset()
        engine.feed(question["before"])
        engine.feed_embeds(encoded[at])
        rows.append(engine.logits(question["after"] + answer)[-len(answer) - 1 :])
    return np.concatenate(rows)


def run(request: Mapping[str, Any]) -> dict[str, int]:
    """Write the logits to the file ``output``; returns the number of its rows."""
    job = Job(request["files"], "", [], request["threads"], request["context"], request["eos_id"], [])
    found = answer_logits(LlamaCppEngine(job), Path(request["folder"]), request["images"])
    np.save(request["output"], found)
    return {"rows": len(found)}


if __name__ == "__main__":
    print_figures(run)
