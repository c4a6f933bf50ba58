"""Counted operations are those that torch counts while the eager model runs; counted bytes are the artifact's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import PROJECTORS, TINY, random_model
from torch.utils.flop_counter import FlopCounterMode

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.config import preset
from mobilevlm_host.bench.operations import (
    text_decoder_ops,
    text_decoder_work,
    vision_encoder_ops,
    vision_encoder_work,
)


@torch.inference_mode()
def _counted(call: Callable[[], object]) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        call()
    return {str(operator): count for operator, count in counter.get_flop_counts()["Global"].items()}


def _split(counted: dict[str, int]) -> tuple[int, int]:
    linear = sum(counted.pop(name, 0) for name in ("aten.mm", "aten.addmm"))
    return linear, sum(counted.values())


@pytest.mark.parametrize("projector_type", PROJECTORS)
def test_the_vision_encoders_operations(projector_type: str) -> None:
    model = random_model(projector_type=projector_type)
    pixels = torch.zeros(1, 3, 56, 56, dtype=torch.uint8)
    linear, others = _split(_counted(lambda: model.vision_encoder(pixels)))
    found = vision_encoder_ops(model.config)
    assert (found.linear_ops, found.float_ops) == (linear, others)


def test_the_text_decoders_operations() -> None:
    model = random_model()
    linear, _ = _split(_counted(lambda: model.text_decoder(torch.zeros(1, 7, 96))))
    # The eager model puts every token through the head, and looks at masked tokens too: neither does the artifact.
    head = 2 * 6 * TINY.llm.hidden_size * TINY.llm.vocab_size
    assert text_decoder_ops(TINY.llm, 7, 0).linear_ops == linear - head
    attention = 2 * 2 * TINY.llm.num_layers * TINY.llm.hidden_size
    assert text_decoder_ops(TINY.llm, 3, 0).float_ops == attention * (1 + 2 + 3)
    assert text_decoder_ops(TINY.llm, 2, 10).float_ops == attention * (11 + 12)


def test_chunks_add_up_but_for_the_head() -> None:
    config = preset("1.7b").llm
    whole, first, second = (text_decoder_ops(config, *chunk) for chunk in ((40, 5), (30, 5), (10, 35)))
    assert (first + second).float_ops == whole.float_ops
    assert (first + second).linear_ops - whole.linear_ops == 2 * config.hidden_size * config.vocab_size


def test_bytes_of_a_decoded_token(tiny_bundle: Bundle) -> None:
    manifest = tiny_bundle.manifest
    made = manifest.values["artifacts"]["executorch"]["methods"]
    assert text_decoder_work(manifest, 1, 99).bytes == made["text_decoder"]["delegate_bytes"] + 2 * 2 * 100 * 96 * 4
    assert (
        manifest.config.llm.kv_cache_bytes(manifest.max_context, value_bytes=4)
        == manifest.values["artifacts"]["executorch"]["kv_cache_bytes"]
    )
    # In fp32 no weight takes less than its four bytes, and little comes beside them.
    weights = {
        "text_decoder": sum(parameter.numel() for parameter in random_model().text_decoder.parameters()),
        "vision_encoder": sum(parameter.numel() for parameter in random_model().vision_encoder.parameters()),
    }
    for method, work in (
        ("text_decoder", text_decoder_work(manifest, 1, 0)),
        ("vision_encoder", vision_encoder_work(manifest)),
    ):
        extra = work.bytes - 4 * weights[method]
        assert extra == pytest.approx(0, abs=0.12 * work.bytes)
