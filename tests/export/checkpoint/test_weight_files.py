"""The file that is read from a folder, and the names of its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mobilevlm_export.checkpoint.key_map import TOWER
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.weight_files import chosen_weights, open_weights
from mobilevlm_export.errors import CheckpointError

ST, ST_INDEX = "model.safetensors", "model.safetensors.index.json"
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ({ST}, ST),
        ({ST, ST_INDEX, BIN, BIN_INDEX}, ST),
        ({ST, BIN_INDEX, "pytorch_model-00001-of-00002.bin"}, ST),
        ({ST_INDEX, BIN}, ST_INDEX),
        ({BIN, BIN_INDEX}, BIN),
        ({BIN_INDEX}, BIN_INDEX),
        ({"sub/model.safetensors", BIN}, BIN),
        ({"adapter_model.safetensors", "model.safetensors.bak"}, None),
        (set(), None),
    ],
)
def test_the_order_is_transformers(names: set[str], chosen: str | None) -> None:
    assert chosen_weights(names) == chosen


def test_a_single_file_takes_precedence_over_an_index(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for index in (ST_INDEX, BIN_INDEX):
        (tmp_path / index).write_text(json.dumps({"weight_map": {"a": "gone"}}))
    save_file({"a": torch.ones(2)}, tmp_path / ST)
    assert open_weights(tmp_path).files == [tmp_path / ST]


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", b"<!DOCTYPE html><html>"]
)
@pytest.mark.parametrize("name", [ST, BIN, ST_INDEX])
def test_a_wrong_file_in_place_of_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    kind = "a Git LFS pointer" if b"lfs" in content else "a web page"
    with pytest.raises(CheckpointError, match=f"{name}: got {kind} instead of the file") as caught:
        open_weights(tmp_path)
    assert "\n" not in str(caught.value)


def _respelled(folder: Path, to: Path, prefix: str, tower: str) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        if file.name != ST:
            (to / file.name).write_bytes(file.read_bytes())
    tensors = {prefix + key.replace(TOWER, tower): value for key, value in load_file(folder / ST).items()}
    save_file(tensors, to / ST)
    return to


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("tower", [TOWER, "model.vision_tower.vision_tower."])
def test_every_naming_of_keys_is_the_same_model(tiny_checkpoint: Path, tmp_path: Path, prefix: str, tower: str) -> None:
    """transformers 5 omits ``vision_model.``; wrappers add a prefix to all names."""
    loaded = load_checkpoint(_respelled(tiny_checkpoint, tmp_path / "respelled", prefix, tower))
    for key, value in load_checkpoint(tiny_checkpoint).state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_duplicate_namings_are_unexpected_keys(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = _respelled(tiny_checkpoint, tmp_path / "twice", "", TOWER)
    tensors = load_file(folder / ST)
    tensors["module.model.norm.weight"] = tensors["model.norm.weight"].clone()
    save_file(tensors, folder / ST)
    with pytest.raises(
        CheckpointError, match=r"got keys that the model in config.json doesn't have: module\.model\.norm\.weight"
    ):
        load_checkpoint(folder)
