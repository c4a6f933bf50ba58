"""Random-weight checkpoints are in the published layout, complete, and different in every tensor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import PROJECTORS, TINY, tiny_config

from mobilevlm_export.checkpoint import synth
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.synth import synth_checkpoint, synth_tokenizer
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.tokenizer import Tokenizer, make_tokenizer_json


def test_it_loads_and_every_tensor_has_its_own_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "_SHARD_BYTES", 100_000)
    synth_checkpoint(TINY, tmp_path / "a", seed=1)
    assert len(list((tmp_path / "a").glob("model-*.safetensors"))) > 3
    model = load_checkpoint(tmp_path / "a")
    assert model.config == TINY
    # The authors' loader requires the tower's type.
    assert json.loads((tmp_path / "a" / "config.json").read_text())["vision_tower_type"] == "clip"
    sums = [float(tensor.sum()) for tensor in model.state_dict().values()]
    assert len(set(sums)) == len(sums)
    logits = model.text_decoder(torch.randn(1, 5, 96))
    assert torch.isfinite(logits).all()
    synth_checkpoint(TINY, tmp_path / "b", seed=1)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("projector_type", PROJECTORS)
def test_every_projector_gives_finite_embeddings_of_usual_size(tmp_path: Path, projector_type: str) -> None:
    synth_checkpoint(tiny_config(projector_type), tmp_path / "a")
    model = load_checkpoint(tmp_path / "a")
    assert model.config == tiny_config(projector_type)
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8)
    embeddings = model.vision_encoder(pixels)
    assert embeddings.shape == (1, model.config.image_tokens, 96)
    assert 0.01 < float(embeddings.std()) < 10


def test_the_tokenizer_is_llamas_kind_and_size(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(synth_tokenizer(32000).SerializeToString())
    tokenizer = Tokenizer(path)
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (32000, 1, 2)
    assert len(tokenizer.encode("What is this? 你好")) > 5
    make_tokenizer_json(path, tmp_path / "tokenizer.json")


def test_it_never_overwrites_and_checks_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(CheckpointError, match="already exists"):
        synth_checkpoint(TINY, tmp_path / "there")
    monkeypatch.setattr(synth.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(CheckpointError, match=r"got 0\.0 GB of free disk space, expected"):
        synth_checkpoint("1.7b", tmp_path / "big")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_outliers_are_in_every_place_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "_SHARD_BYTES", 100_000)
    synth_checkpoint(TINY, tmp_path / "plain", seed=1)
    synth_checkpoint(TINY, tmp_path / "loud", seed=1, outliers=50, places=("norm", "vision_mlp"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loud", "plain"]
    plain, loud = (load_checkpoint(tmp_path / name) for name in ("plain", "loud"))
    for name, ratio in {
        "text_decoder.norm.weight": 50,
        "vision_encoder.tower.layers.1.layer_norm2.weight": 50,
        "vision_encoder.tower.layers.1.mlp.fc1.weight": 50,
        "text_decoder.layers.0.mlp.up_proj.weight": 1,
    }.items():
        assert float((loud.get_parameter(name) / plain.get_parameter(name)).max()) == pytest.approx(ratio, rel=0.01)


def test_wrong_outliers_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="places: got 'nose'"):
        synth_checkpoint("1.7b", tmp_path / "a", outliers=50, places=("nose",))
    with pytest.raises(CheckpointError, match="expected a positive number"):
        synth_checkpoint("1.7b", tmp_path / "a", outliers=-1)
    assert not list(tmp_path.iterdir())
