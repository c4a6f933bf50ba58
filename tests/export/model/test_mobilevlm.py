"""Composition and greedy generation, the reference for everything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import PromptError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess


@pytest.fixture
def model(tiny_config: MobileVLMConfig) -> MobileVLM:
    torch.manual_seed(3)
    model = MobileVLM(tiny_config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


def _pixels(config: MobileVLMConfig, seed: int) -> torch.Tensor:
    size = config.vision.image_size
    return torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_generate_equals_argmax_without_cache(model: MobileVLM) -> None:
    pixels = _pixels(model.config, 0)
    got = model.generate([[1, 5, 9], pixels, [7, 8]], 12)
    ids: list[int] = []
    for _ in range(12):
        with torch.no_grad():
            logits = model.text_decoder(model.embed([[1, 5, 9], pixels, [7, 8, *ids]]))
        ids.append(int(logits[0, -1].argmax()))
    expected = ids[: ids.index(model.config.eos_id)] if model.config.eos_id in ids else ids
    assert got == expected
    assert len(set(got)) > 1


def test_embed_puts_segments_in_order(model: MobileVLM) -> None:
    pixels = _pixels(model.config, 0)
    embeds = model.embed([[1, 2], pixels, [3]])
    assert embeds.shape == (1, 3 + model.config.image_tokens, model.config.llm.hidden_size)
    image = model.vision_encoder(pixels[None])
    assert torch.equal(embeds[0, :2], model.token_embedding.weight[[1, 2]])
    assert torch.allclose(embeds[:, 2:-1], image)
    assert torch.equal(model.embed([image[0]]), image)


def test_images_do_not_leak_into_each_other(model: MobileVLM) -> None:
    first, second = _pixels(model.config, 1), _pixels(model.config, 2)
    alone = model.generate([[1], second, [4]], 8)
    model.generate([[1], first, [4]], 8)
    assert model.generate([[1], second, [4]], 8) == alone


def test_prompt_beyond_the_context_is_refused_before_it_runs(model: MobileVLM) -> None:
    with pytest.raises(PromptError, match="got 250 tokens and up to 7 new ones, expected at most 256"):
        model.generate([[5] * 250], 7)


def test_end_of_text_stops_and_is_not_returned(model: MobileVLM) -> None:
    free = model.generate([[1, 5, 9]], 12)
    stop_at = free[4]
    model.config = replace(model.config, eos_id=stop_at)
    assert model.generate([[1, 5, 9]], 12) == free[: free.index(stop_at)]


def test_text_and_pictures_are_segments_too(tiny_checkpoint: Path) -> None:
    model = load_checkpoint(tiny_checkpoint)
    assert model.tokenizer is not None
    picture = Image.new("RGB", (30, 20), "red")
    ids = [[model.tokenizer.bos_id, *model.tokenizer.encode("USER: ")], model.tokenizer.encode("What is this?")]
    expected = model.generate([ids[0], preprocess(picture, model.config), ids[1]], 6)
    assert model.generate(["USER: ", picture, "What is this?"], 6) == expected
    model.tokenizer = None
    with pytest.raises(PromptError, match="this model has no tokenizer"):
        model.generate(["USER: "], 6)
