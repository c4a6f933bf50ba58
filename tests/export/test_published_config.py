"""Sizes are read from every place in the published layout, and invalid values are rejected by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from mobilevlm_export.config import PRESETS, preset
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


@pytest.mark.parametrize("size", PRESETS)
def test_json_round_trip(size: str, tmp_path: Path) -> None:
    config = preset(size)
    assert config_from_json(config.to_json(), tmp_path) == config


# As published with llava-v1.5-7b.
LLAVA = PUBLISHED | {
    "_name_or_path": "llava-v1.5-7b", "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava", "hidden_size": 4096,
    "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 4096, "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 1024,
    "mm_resampler_type": None, "freeze_mm_vision_resampler": False, "tune_mm_vision_resampler": False,
    "unfreeze_mm_vision_tower": False, "use_mm_proj": True, "max_length": 4096, "pad_token_id": 0,
}  # fmt: skip
# As published with llava-hf/llava-1.5-7b-hf: transformers omits its defaults.
LLAVA_HF = {
    "architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000, "model_type": "llava",
    "pad_token_id": 32001, "projector_hidden_act": "gelu", "tie_word_embeddings": False, "torch_dtype": "float16", "vocab_size": 32064,
    "text_config": {
        "_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096,
        "model_type": "llama", "rms_norm_eps": 1e-5, "torch_dtype": "float16", "vocab_size": 32064,
    },
    "vision_config": {
        "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model",
        "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768, "vocab_size": 32000,
    },
    "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
}  # fmt: skip


def _write_exactly(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_the_first_mobilevlm_differs_in_the_projector_alone(tmp_path: Path) -> None:
    config = read_config(_write(tmp_path, mm_projector_type="ldpnet"))
    expected = preset("v1-1.7b")
    assert (config.vision, config.projector, config.llm) == (expected.vision, expected.projector, expected.llm)
    assert (config.image_tokens, config.projector.kind.name) == (144, "LDP")


@pytest.mark.parametrize("model_type", ["llava", "llava_llama"])
def test_llavas_own_file_is_the_preset(tmp_path: Path, model_type: str) -> None:
    config = read_config(_write_exactly(tmp_path, LLAVA | {"model_type": model_type}))
    assert config == preset("llava-1.5-7b")
    assert config.image_tokens == 576


def test_transformers_llava_is_the_preset_with_a_padded_vocabulary(tmp_path: Path) -> None:
    config, expected = read_config(_write_exactly(tmp_path, LLAVA_HF)), preset("llava-1.5-7b")
    assert (config.vision, config.projector) == (expected.vision, expected.projector)
    assert config.llm == replace(expected.llm, vocab_size=32064)
    assert config.model_type == "llava_llama"


def test_a_download_without_a_name_has_the_repositorys(tmp_path: Path) -> None:
    folder = tmp_path / "models--llava-hf--llava-1.5-7b-hf" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    assert read_config(_write_exactly(folder, LLAVA_HF)).name == "llava-1.5-7b-hf"


def test_what_transformers_saves_of_a_llava_is_read(tmp_path: Path) -> None:
    text = LlamaConfig(**{key: LLAVA[key] for key in ("hidden_size", "rms_norm_eps", "max_position_embeddings")})
    tower = {key: value for key, value in LLAVA_HF["vision_config"].items() if key != "model_type"}
    LlavaConfig(vision_config=CLIPVisionConfig(**tower), text_config=text).save_pretrained(tmp_path)
    config, expected = read_config(tmp_path), preset("llava-1.5-7b")
    assert (config.vision, config.projector, config.llm) == (expected.vision, expected.projector, expected.llm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_feature_select_strategy": "full"}, "vision_feature_select_strategy: got 'full', expected 'default'"),
        ({"vision_feature_layer": [-2, -5]}, "mm_vision_select_layer: got [-2, -5], expected a number"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act: got 'relu', expected 'gelu'"),
        ({"multimodal_projector_bias": False}, "multimodal_projector_bias: got False, expected True"),
        (
            {"image_grid_pinpoints": [[336, 672]]},
            "image_grid_pinpoints: got [[336, 672]], which may describe another model",
        ),
        ({"text_config": {"model_type": "mistral"}}, "text_config.model_type: got 'mistral', expected 'llama'"),
        ({"text_config": "llama"}, "text_config: got 'llama', expected an object"),
        ({"text_config": {"hidden_act": "gelu"}}, "hidden_act: got 'gelu', expected 'silu'"),
        ({"vision_config": {"model_type": "siglip_vision_model"}}, "model_type: got 'siglip_vision_model'"),
        ({"vision_config": None}, "vision_config: got None, expected an object"),
    ],
)
def test_other_llavas_of_transformers_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(_write_exactly(tmp_path, LLAVA_HF | changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"])
def test_a_llava_with_another_conversation_is_refused(tmp_path: Path, name: str) -> None:
    _write_exactly(tmp_path, LLAVA_HF)

    def write(template: str) -> None:
        text = template if name.endswith("jinja") else json.dumps({"chat_template": template})
        (tmp_path / name).write_text(text)

    write("{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
    read_config(tmp_path)
    write("{{ '<|im_start|>assistant' }}")
    with pytest.raises(ConfigError, match=r"chat_template: got .*, expected v1's conversation"):
        read_config(tmp_path)


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
        (
            {"mm_projector_type": "identity"},
            "mm_projector_type: got 'identity', expected one of ldpnetv2, ldpnet, linear",
        ),
        ({"mm_projector_type": ...}, "mm_projector_type: got 'None', expected one of ldpnetv2"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature: got 'cls_patch', expected 'patch'"),
        ({"image_aspect_ratio": "square"}, "image_aspect_ratio: got 'square', expected 'pad'"),
        ({"image_aspect_ratio": ...}, "image_aspect_ratio: got None, expected 'pad'"),
        ({"model_type": "llama"}, "model_type: got 'llama', expected 'mobilevlm', 'llava' or 'llava_llama'"),
        (
            {"model_type": "llava_next"},
            "model_type: got 'llava_next' (LLaVA-NeXT, which splits an image into several (anyres))",
        ),
        (
            {"model_type": "llava_mistral"},
            "model_type: got 'llava_mistral' (LLaVA on Mistral, whose conversation is another)",
        ),
        ({"model_type": ["llava"]}, "model_type: got ['llava'], expected"),
        (
            {"model_type": "llava", "architectures": ["LlavaQwenForCausalLM"]},
            "architectures: got ['LlavaQwenForCausalLM']",
        ),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio: got 'anyres', expected 'pad'"),
        ({"mm_vision_tower": "google/siglip-so400m-patch14-384"}, "a SigLIP tower, expected one of CLIP's"),
        (
            {"model_type": "llava", "_name_or_path": "a/llava-llama-2-7b-chat"},
            "asked in LLaMA 2's conversation, expected v1's",
        ),
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
def test_other_models_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
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
