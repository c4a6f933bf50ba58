"""The kit's engine in this process answers like the eager model, even if an answer ends immediately."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import random_model

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.bench.peer.kit_engine import KitEngine
from mobilevlm_host.bench.peer.peer_round import Job, answers
from mobilevlm_host.engines.cpp_runner import CppGeneration


@pytest.fixture
def job(job: Job, tiny_bundle: Bundle) -> Job:
    return replace(job, files=[str(tiny_bundle.path)], answers=12)


@pytest.mark.parametrize("length", [0, 4])
def test_the_end_of_text_ends_an_answer_and_not_the_next(
    job: Job, expected: list[list[int]], length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[int]] = []
    generate = CppGeneration.generate

    def watched(self, ids, new, temperature, on_token):  # type: ignore[no-untyped-def]
        computed.append([])
        generate(self, ids, new, temperature, lambda token: computed[-1].append(token) or on_token(token))

    monkeypatch.setattr(CppGeneration, "generate", watched)
    ended = replace(job, eos_id=expected[0][length])
    got = answers(lambda: KitEngine(ended), ended)
    assert got[0] == expected[0][: expected[0].index(ended.eos_id)]
    assert len(computed[0]) <= length + 2  # a stop at the first token takes effect at the second
    assert expected[1][: len(got[1])] == got[1] != []


def test_an_image_is_encoded_as_the_model_does(job: Job) -> None:
    engine = KitEngine(job)
    model, pixels = random_model(), np.load(job.pixels)
    for image in pixels:
        embeds, _ = engine.encode(image)
        expected = model.vision_encoder(torch.from_numpy(image).permute(2, 0, 1)[None])
        torch.testing.assert_close(embeds, expected, atol=1e-4, rtol=1e-4)


def test_encoding_does_not_change_the_conversation(job: Job, expected: list[list[int]]) -> None:
    engine, pixels = KitEngine(job), np.load(job.pixels)
    prompt = job.prompts[0]
    engine.feed(prompt.before_ids)
    engine.show(pixels[0])
    engine.encode(pixels[1])
    assert engine.generate(prompt.after_ids, 12) == expected[0]
