"""Outliers like those of trained models: large channels in every place, and the same function."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import outputs, random_model
from torch import Tensor

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.outlier_places import EQUIVALENT, PLACES
from mobilevlm_export.checkpoint.outliers import add_outliers, copy_with_outliers
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.model.links import ChannelLink, layer_links, linked_layers
from mobilevlm_export.model.mobilellama import DecoderLayer


def loudest(weight: Tensor) -> float:
    """The largest row's norm relative to the median row's."""
    norms = weight.norm(dim=1)
    return float(norms.max() / norms.median())


def _sizes(model: MobileVLM) -> dict[str, float]:
    """The loudest channel of each place in the first layers, relative to the median."""
    tower, decoder = (
        layer_links(layer) for layer in (model.vision_encoder.tower.layers[0], model.text_decoder.layers[0])
    )  # type: ignore[arg-type]
    gains = [link.norm.weight[:, None] for links in (tower, decoder) for link in links.norms]
    return {
        "norm": min(loudest(gain) for gain in [*gains, model.text_decoder.norm.weight[:, None]]),
        "value": min(loudest(links.value.producer.weight) for links in (tower, decoder)),
        "mlp": loudest(decoder.middle.producer.weight),
        "vision_mlp": loudest(tower.middle.producer.weight),
    }


@pytest.mark.parametrize("place", PLACES)
def test_outliers_are_where_they_were_asked_for(place: str) -> None:
    model = random_model()
    add_outliers(model, 50, (place,))
    sizes = _sizes(model)
    assert sizes.pop(place) > 30
    assert all(size < 2.5 for size in sizes.values())


@pytest.mark.parametrize("places", [EQUIVALENT, *((place,) for place in EQUIVALENT)])
def test_the_function_stays_the_same(places: tuple[str, ...]) -> None:
    model = random_model()
    before, ids = outputs(model), model.generate([[1, 9, 200]], max_new_tokens=20)
    add_outliers(model, 50, places)
    for got, expected in zip(outputs(model), before, strict=True):
        assert (got - expected).norm() / expected.norm() < 1e-5
    assert model.generate([[1, 9, 200]], max_new_tokens=20) == ids


def test_outliers_behind_quick_gelu_change_the_function() -> None:
    model = random_model()
    before = outputs(model)
    add_outliers(model, 50, ("vision_mlp",))
    assert not torch.allclose(outputs(model)[0], before[0], rtol=1e-3)
    assert "vision_mlp" not in EQUIVALENT


def test_a_seed_decides_the_channels_of_each_place() -> None:
    alone, together, other = random_model(), random_model(), random_model()
    add_outliers(alone, 50, ("value",))
    add_outliers(together, 50, ("norm", "value"))
    add_outliers(other, 50, ("value",), seed=1)
    values = [model.text_decoder.layers[1].self_attn.v_proj.weight for model in (alone, together, other)]  # type: ignore[union-attr]
    loud = [(weight.norm(dim=1) > 10).nonzero().flatten().tolist() for weight in values]
    assert loud[0] == loud[1] != loud[2]


def test_half_precision_stays_half() -> None:
    model = random_model().half()
    add_outliers(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}


def test_links_cover_all_layers() -> None:
    model = random_model()
    layers = list(linked_layers(model))
    assert len(layers) == model.config.vision.num_run_layers + model.config.llm.num_layers
    assert sum(isinstance(layer, DecoderLayer) for layer in layers) == model.config.llm.num_layers
    assert all(isinstance(layer_links(layer).middle, ChannelLink) for layer in layers)


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_must_be_positive(strength: float) -> None:
    with pytest.raises(CheckpointError, match=r"outliers: got a strength of .*, expected a positive number"):
        add_outliers(random_model(), strength)


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(CheckpointError, match="places: got 'knob', expected some of norm, value, mlp, vision_mlp"):
        add_outliers(random_model(), places=("norm", "knob"))


def test_a_copy_of_a_checkpoint_answers_the_same(tmp_path: Path, tiny_tokenizer_model: Path) -> None:
    plain = random_model()
    save_checkpoint(plain, tmp_path / "plain", tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    copy_with_outliers(tmp_path / "plain", tmp_path / "loud", 50)
    loud = load_checkpoint(tmp_path / "loud")
    assert loudest(loud.text_decoder.layers[0].mlp.up_proj.weight) > 30  # type: ignore[union-attr, arg-type]
    for got, expected in zip(outputs(loud), outputs(plain), strict=True):
        assert (got - expected).norm() / expected.norm() < 1e-5
    with pytest.raises(CheckpointError, match="already exists"):
        copy_with_outliers(tmp_path / "plain", tmp_path / "loud", 50)


def test_a_copy_that_would_answer_differently_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="places: got 'vision_mlp', expected some of norm, value, mlp, which leave"
    ):
        copy_with_outliers(tmp_path, tmp_path / "loud", 50, PLACES)
