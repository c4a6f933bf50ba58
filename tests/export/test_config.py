"""Sizes are read from every place the published layout keeps them, and nonsense is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export.config import MobileVLMConfig, VisionConfig, preset
from mobilevlm_export.errors import ConfigError

PUBLISHED = {
    "model_type": "mobilevlm",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
    "mm_projector_type": "ldpnetv2",
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "image_aspect_ratio": "pad",
}


def _write(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    values = {key: value for key, value in (PUBLISHED | changes).items() if value is not ...}
    (folder / name).write_text(json.dumps(values))
    return folder


def test_the_published_file_is_the_1_7b_preset(tmp_path: Path) -> None:
    config = MobileVLMConfig.from_checkpoint(_write(tmp_path))
    expected = preset("1.7b")
    assert (config.vision, config.projector, config.llm) == (expected.vision, expected.projector, expected.llm)
    assert config.image_tokens == 144
    assert config.pad_color == (122, 116, 104)
    assert config.vision.num_run_layers == 23


@pytest.mark.parametrize("size", ["1.7b", "3b", "7b"])
def test_json_round_trip(size: str, tmp_path: Path) -> None:
    config = preset(size)
    assert MobileVLMConfig.from_json(config.to_json(), tmp_path) == config


def test_vision_sizes_prefer_the_file_then_the_object_then_the_name(tmp_path: Path) -> None:
    tower = {"image_size": 168, "patch_size": 14, "hidden_size": 64, "num_attention_heads": 2}
    _write(tmp_path, vision_config=tower | {"image_size": 112})
    assert MobileVLMConfig.from_checkpoint(tmp_path).vision.image_size == 112
    (tmp_path / "vision_config.json").write_text(json.dumps(tower))
    assert MobileVLMConfig.from_checkpoint(tmp_path).vision.image_size == 168


def test_normalisation_is_the_checkpoints_not_a_default(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 0.5]})
    )
    config = MobileVLMConfig.from_checkpoint(tmp_path)
    assert config.vision.image_mean == (0.5, 0.25, 0.125)
    assert config.pad_color == (127, 63, 31)


def test_a_clip_folder_gives_the_towers_sizes(tmp_path: Path) -> None:
    tower = tmp_path / "clip"
    tower.mkdir()
    (tower / "config.json").write_text(json.dumps({"vision_config": {"image_size": 224, "patch_size": 16}}))
    config = MobileVLMConfig.from_checkpoint(_write(tmp_path, mm_vision_tower="someone/else"), tower)
    assert (config.vision.image_size, config.vision.patch_size, config.vision.hidden_size) == (224, 16, 768)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mm_projector_type": "ldpnet"}, "mm_projector_type: got 'ldpnet', expected 'ldpnetv2'"),
        ({"mm_projector_type": ...}, "mm_projector_type: got None, expected 'ldpnetv2'"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature: got 'cls_patch', expected 'patch'"),
        ({"image_aspect_ratio": "square"}, "image_aspect_ratio: got 'square', expected 'pad'"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling"),
        ({"hidden_size": ...}, "hidden_size is missing, expected a number"),
        ({"hidden_size": "big"}, "hidden_size: got 'big', expected a number"),
        ({"hidden_size": 2049}, "hidden_size: got 2049, expected a multiple of 16 heads"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers: got 1.5, expected a whole number"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: got 3, expected a divisor of 16"),
        ({"vocab_size": 0}, "vocab_size: got 0, expected a positive number"),
        ({"eos_token_id": 32000}, "eos_token_id: got 32000, expected an id below 32000"),
        ({"mm_vision_tower": "someone/else"}, "mm_vision_tower: got 'someone/else', whose sizes are not known"),
        ({"mm_vision_select_layer": -30}, "mm_vision_select_layer: got -30"),
    ],
)
def test_what_is_not_mobilevlm_v2_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MobileVLMConfig.from_checkpoint(_write(tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json: got"):
        MobileVLMConfig.from_checkpoint(tmp_path)


def test_an_odd_patch_grid_cannot_be_pooled() -> None:
    with pytest.raises(ConfigError, match="expected a multiple of twice the patch size"):
        VisionConfig(image_size=70, patch_size=14)


def test_no_such_preset() -> None:
    with pytest.raises(ConfigError, match=r"got '2b', expected one of 1\.7b, 3b, 7b"):
        preset("2b")
