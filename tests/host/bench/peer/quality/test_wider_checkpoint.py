"""A widened model computes what the narrow one does, and llama.cpp can store all of its rows in blocks of 256."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import TINY, random_model
from torch import nn

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.demo.held_out import held_out, scene_image
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.prompt import first_turn_ids
from mobilevlm_export.tokenizer import checkpoint_tokenizer
from mobilevlm_host.bench.peer.quality.wider_checkpoint import wide_config, widened


def with_gains(model: MobileVLM) -> MobileVLM:
    """``model`` with norm gains of its own, as trained models have."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, 1, 0.2)
    return model


def relative_error(model: MobileVLM, wide: MobileVLM, embedded: list[torch.Tensor | list[int]]) -> float:
    expected, got = (each.text_decoder(each.embed(embedded)) for each in (model, wide))
    return float((got - expected).norm() / expected.norm())


def test_a_widened_model_has_the_same_logits() -> None:
    model = with_gains(random_model())
    wide = widened(model)
    side = TINY.vision.image_size
    pixels = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert relative_error(model, wide, [[1, 17, 30], pixels, [8, 9, 10, 11]]) < 1e-5
    weights = dict(wide.text_decoder.named_modules())
    linears = {name: each for name, each in weights.items() if isinstance(each, nn.Linear)}
    assert len(linears) == 7 * TINY.llm.num_layers + 1
    assert {each.in_features % 256 for each in linears.values()} == {0}
    assert {each.num_heads for each in wide.modules() if hasattr(each, "num_kv_heads")} == {8}
    for each in linears.values():
        assert (each.weight == 0).float().mean() < 0.01
        assert torch.unique(each.weight, dim=1).shape == each.weight.shape


def test_the_demo_answers_as_before(tmp_path: Path) -> None:
    model = load_checkpoint(DEMO_CHECKPOINT)
    save_checkpoint(
        widened(model), tmp_path / "wide", tokenizer_model=DEMO_CHECKPOINT / "tokenizer.model", dtype=torch.float32
    )
    wide = load_checkpoint(tmp_path / "wide")
    assert (wide.config.llm.hidden_size, wide.config.llm.num_heads, wide.config.llm.intermediate_size) == (256, 8, 512)
    tokenizer = checkpoint_tokenizer(tmp_path / "wide")
    for _, each in zip(range(3), held_out(), strict=False):
        before, after = first_turn_ids(tokenizer, each.qa.question)
        asked = [before, preprocess(scene_image(each.seed), model.config), after]
        answer = model.generate(asked)
        assert wide.generate(asked) == answer != []
        assert relative_error(model, wide, [*asked, answer]) < 1e-5


def test_the_seed_decides_how_channels_are_split() -> None:
    first, again, other = (widened(random_model(), seed).text_decoder.lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_epsilon_follows_the_width() -> None:
    config = wide_config(TINY)
    assert math.isclose(config.llm.rms_norm_eps, TINY.llm.rms_norm_eps * 96 / 256)
    assert config.projector.hidden_size == config.llm.hidden_size == 256


@pytest.mark.parametrize("sizes", [{"num_kv_heads": 1}, {"num_heads": 1, "num_kv_heads": 1}])
def test_heads_that_cant_be_copied_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(
        ConfigError, match=r"^llm: got \d heads of width \d+ and 1 key/value heads, expected heads with"
    ):
        wide_config(replace(TINY, llm=replace(TINY.llm, **sizes)))
