"""Sizes are read from every place in the published layout, and invalid values are rejected by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPVisionConfig, LlamaConfig

from mobilevlm_export.config import preset
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.published_config import config_from_json, read_config

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
    config = read_config(_write(tmp_path))
    expected = preset("1.7b")
    assert (config.vision, config.projector, config.llm) == (expected.vision, expected.projector, expected.llm)
    assert config.image_tokens == 144
    assert config.pad_color == (122, 116, 104)
    assert config.vision.num_run_layers == 23


@pytest.mark.parametrize("size", ["1.7b", "3b", "7b"])
def test_json_round_trip(size: str, tmp_path: Path) -> None:
    config = preset(size)
    assert config_from_json(config.to_json(), tmp_path) == config


def test_vision_sizes_prefer_the_file_then_the_object_then_the_name(tmp_path: Path) -> None:
    tower = {"image_size": 168, "patch_size": 14, "hidden_size": 64, "num_attention_heads": 2}
    _write(tmp_path, vision_config=tower | {"image_size": 112})
    assert read_config(tmp_path).vision.image_size == 112
    (tmp_path / "vision_config.json").write_text(json.dumps(tower))
    assert read_config(tmp_path).vision.image_size == 168


def test_normalization_is_the_checkpoints_not_a_default(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 0.5]})
    )
    config = read_config(tmp_path)
    assert config.vision.image_mean == (0.5, 0.25, 0.125)
    assert config.pad_color == (127, 63, 31)


def test_a_clip_folder_gives_the_towers_sizes(tmp_path: Path) -> None:
    tower = tmp_path / "clip"
    tower.mkdir()
    (tower / "config.json").write_text(json.dumps({"vision_config": {"image_size": 224, "patch_size": 16}}))
    config = read_config(_write(tmp_path, mm_vision_tower="someone/else"), tower)
    assert (config.vision.image_size, config.vision.patch_size, config.vision.hidden_size) == (224, 16, 768)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mm_projector_type": "ldpnet"}, "mm_projector_type: got 'ldpnet', expected 'ldpnetv2'"),
        ({"mm_projector_type": ...}, "mm_projector_type: got None, expected 'ldpnetv2'"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature: got 'cls_patch', expected 'patch'"),
        ({"image_aspect_ratio": "square"}, "image_aspect_ratio: got 'square', expected 'pad'"),
        ({"image_aspect_ratio": ...}, "image_aspect_ratio: got None, expected 'pad'"),
        ({"model_type": "llava"}, "model_type: got 'llava', expected 'mobilevlm'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling: got {'type': 'linear', 'factor': 2.0}"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "rope_parameters: got"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "rope_parameters: got"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, "rope_parameters: got"),
        ({"rope_parameters": "default"}, "rope_parameters: got 'default'"),
        (
            {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}},
            "got rope_theta 10000, rope_parameters.rope_theta 500000, expected a single base for RoPE",
        ),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end: got True, expected False"),
        ({"vision_tower_type": "siglip"}, "vision_tower_type: got 'siglip', expected 'clip'"),
        ({"hidden_act": "gelu"}, "hidden_act: got 'gelu', expected 'silu'"),
        ({"attention_bias": True}, "attention_bias: got True, expected False"),
        ({"mlp_bias": True}, "mlp_bias: got True, expected False"),
        ({"attention_dropout": 0.1}, "attention_dropout: got 0.1, expected 0.0"),
        ({"head_dim": 64}, "head_dim: got 64, expected hidden_size / num_attention_heads = 128"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: got {'bits': 4}, expected None"),
        ({"repetition_penalty": 1.2}, "repetition_penalty: got 1.2, expected 1.0"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: got 'yes', expected true or false"),
        ({"mm_hidden_size": 768}, "mm_hidden_size: got 768, expected the tower's width 1024"),
        ({"logit_scale": 0.5}, "logit_scale: got 0.5, which may describe another model"),
        ({"num_hidden_layers": True}, "num_hidden_layers: got True, expected a number"),
        ({"vision_config": {"hidden_act": "gelu"}}, "hidden_act: got 'gelu', expected 'quick_gelu'"),
        ({"vision_config": {"attention_dropout": 0.1}}, "attention_dropout: got 0.1, expected 0.0"),
        ({"vision_config": {"num_channels": 1}}, "num_channels: got 1, expected 3"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "model_type: got 'siglip_vision_model'"),
        ({"vision_config": {"use_head": True}}, "use_head: got True, which may describe another model"),
        ({"hidden_size": ...}, "hidden_size is missing, expected a number"),
        ({"hidden_size": "big"}, "hidden_size: got 'big', expected a number"),
        ({"hidden_size": 2049}, "hidden_size: got 2049, expected a multiple of 16 heads"),
        ({"num_hidden_layers": 1.5}, "num_hidden_layers: got 1.5, expected an integer"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: got 3, expected a divisor of 16"),
        ({"vocab_size": 0}, "vocab_size: got 0, expected a positive number"),
        ({"eos_token_id": 32000}, "eos_token_id: got 32000, expected an id below 32000"),
        ({"mm_vision_tower": "someone/else"}, "mm_vision_tower: got 'someone/else', whose sizes are unknown"),
        ({"hidden_size": 1 << 62}, "hidden_size: got 4611686018427387904, expected at most 16777216"),
        ({"num_hidden_layers": 1_000_000}, "num_layers: got 1000000, expected at most 1024"),
        ({"vision_config": {"image_size": 14 * 336, "patch_size": 14}}, "image_size: got 4704, expected at most 4096"),
        ({"vision_config": {"image_mean": [True, 0, 0]}}, "image_mean: got [True, 0, 0], expected three numbers"),
        ({"mm_vision_select_layer": -30}, "mm_vision_select_layer: got -30"),
    ],
)
def test_what_is_not_mobilevlm_v2_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(_write(tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# As transformers 4 and 5 and the authors' and LLaVA's training code write them; the values are those of published checkpoints.
_HARMLESS = {
    "_name_or_path": "mtgv/MobileLLaMA-1.4B-Chat", "_flash_attn_2_enabled": True, "architectures": ["MobileLlamaForCausalLM"],
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "freeze_mm_mlp_adapter": False, "hidden_act": "silu",
    "image_grid_pinpoints": None, "initializer_range": 0.02, "max_sequence_length": 2048, "mm_hidden_size": 1024,
    "mm_use_im_patch_token": False, "mm_use_im_start_end": False, "num_key_value_heads": 16, "pretraining_tp": 1,
    "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": False, "torch_dtype": "float16",
    "transformers_version": "4.33.1", "tune_mm_mlp_adapter": False, "use_cache": True, "use_mm_proj": True,
    "vision_tower_type": "clip", "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "head_dim": 128,
    "mm_patch_merge_type": "flat", "mm_projector_lr": 2e-5, "mm_resampler_type": None, "mm_vision_tower_lr": 2e-6,
    "unfreeze_mm_vision_tower": True, "tokenizer_model_max_length": 2048, "tokenizer_padding_side": "right", "dtype": "bfloat16",
    "do_sample": True, "temperature": 0.7, "max_length": 4096, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
    "return_dict": True, "output_attentions": False, "pruned_heads": {}, "bad_words_ids": None, "repetition_penalty": 1.0,
    "is_encoder_decoder": False, "chunk_size_feed_forward": 0, "top_k": 50, "typical_p": 1.0, "use_some_new_thing": False,
}  # fmt: skip


def test_keys_without_effect_are_accepted(tmp_path: Path) -> None:
    tower = preset("1.7b").vision_json() | CLIPVisionConfig(dropout=0.0).to_dict() | preset("1.7b").vision_json()
    config = read_config(_write(tmp_path, **_HARMLESS, vision_config=tower))
    assert (config.vision, config.llm) == (preset("1.7b").vision, preset("1.7b").llm)


def test_transformers_5_configs_are_read(tmp_path: Path) -> None:
    """``LlamaConfig`` stores RoPE's base in ``rope_parameters``."""
    written = LlamaConfig(
        num_attention_heads=16, hidden_size=2048, rope_parameters={"rope_type": "default", "rope_theta": 5e5}
    )
    values = written.to_dict()
    assert "rope_theta" not in values
    assert read_config(_write(tmp_path, **{**values, "model_type": "mobilevlm"})).llm.rope_theta == 500000.0


@pytest.mark.parametrize(
    "changes",
    [
        {"num_key_value_heads": None},
        {"rope_scaling": {"rope_type": "default"}, "rope_parameters": None},
        {"rope_scaling": {"type": "default"}, "rope_theta": 10000},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}},
        {"head_dim": None, "rms_norm_eps": 1e-6},
    ],
)
def test_explicit_defaults_are_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read_config(_write(tmp_path, **changes)).llm == preset("1.7b").llm


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("preprocessor_config.json", {"resample": 2}, "resample: got 2, expected 3"),
        ("preprocessor_config.json", {"do_normalize": False}, "do_normalize: got False, expected True"),
        ("preprocessor_config.json", {"crop_size": {"height": 224, "width": 224}}, "crop_size: got"),
        ("preprocessor_config.json", {"size": 224}, "size: got 224, expected the tower's 336 pixels"),
        ("generation_config.json", {"repetition_penalty": 1.1}, "repetition_penalty: got 1.1, expected 1.0"),
        ("generation_config.json", {"eos_token_id": [2, 7]}, "eos_token_id: got [2, 7], expected 2"),
    ],
)
def test_files_of_another_model_are_refused(tmp_path: Path, name: str, values: dict[str, Any], message: str) -> None:
    (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(ConfigError) as caught:
        read_config(_write(tmp_path))
    assert f"{name}: {message}" in str(caught.value)


def test_the_published_files_of_clip_and_of_generation_are_accepted(tmp_path: Path) -> None:
    clip = {"crop_size": {"height": 336, "width": 336}, "size": {"shortest_edge": 336}, "do_center_crop": True, "do_convert_rgb": True,
            "do_normalize": True, "do_rescale": True, "do_resize": True, "image_processor_type": "CLIPImageProcessor",
            "resample": 3, "rescale_factor": 0.00392156862745098}  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(clip))
    vicuna = {
        "_from_model_config": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "max_length": 4096,
        "temperature": 0.9,
        "top_p": 0.6,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(vicuna))
    assert read_config(_write(tmp_path)).llm == preset("1.7b").llm


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "\x00", '{"rms_norm_eps": NaN}', "[" * 99_999, '{"a": 1' + "0" * 5000 + "}"]
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json: got"):
        read_config(tmp_path)
