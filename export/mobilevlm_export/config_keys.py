"""Data: every key of a published configuration: those the kit reads, those with one allowed value, and those without effect.

An unknown key is accepted if it enables nothing (null, false, 0, empty) and rejected by name otherwise: it may describe
another model. Sources: the authors' ``mobilevlm.py``, ``vision_encoder.py`` and ``utils.py``, LLaVA's additions, and
transformers' ``PretrainedConfig``, ``LlamaConfig`` and ``CLIPVisionConfig`` (versions 4 and 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobilevlm_export.errors import ConfigError

_ABSENT = object()


@dataclass(frozen=True)
class Keys:
    """The keys of one kind of configuration. ``fixed`` maps a key to the only value that the kit supports.

    A key of ``fixed`` may be omitted unless it is in ``required``. Where the value is empty, any empty value is accepted.
    """

    used: frozenset[str]
    fixed: Mapping[str, Any]
    harmless: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()

    def require_fixed(self, values: Mapping[str, Any], where: object) -> None:
        """Raise ConfigError, naming ``where``, for the first of ``values`` that describes another model."""
        for key, expected in self.fixed.items():
            got = values.get(key, _ABSENT)
            if got is _ABSENT and key not in self.required:
                continue
            if got is _ABSENT or not (got == expected or (not got and not expected)):
                shown = None if got is _ABSENT else got
                raise ConfigError(f"{where}: {key}: got {shown!r:.60}, expected {expected!r} (MobileVLM, LLaVA-1.5)")

    def require_known(self, values: Mapping[str, Any], where: object) -> None:
        """Raise ConfigError, naming ``where``, for the first of ``values`` that is unknown and enables something."""
        known = self.used | self.fixed.keys() | self.harmless
        for key, value in values.items():
            if key not in known and not key.startswith("_") and value:
                raise ConfigError(
                    f"{where}: {key}: got {value!r:.60}, which may describe another model, expected only known keys; "
                    "remove it if it doesn't change what the model computes"
                )


# Settings of transformers' base class that any configuration may carry.
_COMMON = frozenset({
    "architectures", "auto_map", "attn_implementation", "chunk_size_feed_forward", "dtype", "finetuning_task", "id2label", "label2id",
    "name_or_path", "num_labels", "output_attentions", "output_hidden_states", "prefix", "problem_type", "return_dict",
    "task_specific_params", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "torch_dtype", "torchscript",
    "transformers_version", "use_bfloat16", "use_cache", "initializer_range", "is_decoder", "add_cross_attention",
    "cross_attention_hidden_size", "pad_token_id", "sep_token_id", "decoder_start_token_id",
})  # fmt: skip
# Sampling and search. Answers here are greedy, as in the benchmarks, and the authors' scripts pass their own settings.
_SAMPLING = frozenset({
    "do_sample", "early_stopping", "diversity_penalty", "length_penalty", "max_length", "max_new_tokens", "num_beams", "num_beam_groups",
    "num_return_sequences", "output_scores", "output_logits", "remove_invalid_values", "return_dict_in_generate", "temperature",
    "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "cache_implementation", "use_cache",
})  # fmt: skip
# Settings that would change even a greedy answer.
_GREEDY: dict[str, Any] = {
    "bad_words_ids": None,
    "begin_suppress_tokens": None,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "min_length": 0,
    "min_new_tokens": None,
    "no_repeat_ngram_size": 0,
    "repetition_penalty": 1.0,
    "sequence_bias": None,
    "suppress_tokens": None,
}
_STRUCTURE: dict[str, Any] = {
    "is_encoder_decoder": False,
    "per_layer_config": None,
    "pruned_heads": None,
    "quantization_config": None,
}

CONFIG = Keys(
    used=frozenset({
        "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
        "max_position_embeddings", "bos_token_id", "eos_token_id", "tie_word_embeddings", "mm_hidden_size", "mm_vision_tower",
        "mm_vision_select_layer", "mm_projector_type", "vision_config",
    }),
    fixed={
        "mm_vision_select_feature": "patch",
        "image_aspect_ratio": "pad",
        "vision_tower_type": "clip",
        # If true, the authors' prompts put tokens around the image. (mm_use_im_patch_token adds a token that no prompt has.)
        "mm_use_im_start_end": False,
        "mm_patch_merge_type": "flat",
        "mm_resampler_type": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "partial_rotary_factor": 1.0,
        "sliding_window": None,
        **_STRUCTURE,
        **_GREEDY,
    },
    required=frozenset({"image_aspect_ratio"}),
    harmless=_COMMON | _SAMPLING | {
        "pretraining_tp", "max_sequence_length", "model_max_length", "tokenizer_model_max_length", "tokenizer_padding_side",
        "freeze_mm_mlp_adapter", "tune_mm_mlp_adapter", "freeze_mm_vision_resampler",
        "tune_mm_vision_resampler", "freeze_backbone", "pretrain_mm_mlp_adapter", "use_mm_proj",
        "mm_use_im_patch_token", "mm_projector_lr", "mm_vision_tower_lr", "unfreeze_mm_vision_tower",
        "image_grid_pinpoints", "image_crop_resolution", "image_split_resolution", "vision_tower",
    },
)  # fmt: skip

# transformers' own layout of LLaVA, around ``text_config`` (whose keys are those of CONFIG) and ``vision_config``.
LLAVA_HF = Keys(
    used=frozenset({"text_config", "vision_config", "vision_feature_layer", "tie_word_embeddings", "model_type"}),
    fixed={
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        **_STRUCTURE,
        **_GREEDY,
    },
    harmless=_COMMON | _SAMPLING | {
        "ignore_index", "image_token_index", "image_token_id", "image_seq_length", "vocab_size", "bos_token_id", "eos_token_id",
    },
)  # fmt: skip

VISION = Keys(
    used=frozenset({
        "image_size", "patch_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "layer_norm_eps", "image_mean", "image_std",
    }),
    fixed={
        "model_type": "clip_vision_model",
        "hidden_act": "quick_gelu",  # OpenAI's CLIP
        "num_channels": 3,
        "attention_dropout": 0.0,
        "dropout": 0.0,
        **_STRUCTURE,
    },
    harmless=_COMMON | _SAMPLING | _GREEDY.keys() | {
        "projection_dim", "initializer_factor", "vocab_size", "tie_word_embeddings", "bos_token_id", "eos_token_id",
    },
)  # fmt: skip

GENERATION = Keys(used=frozenset({"eos_token_id"}), fixed=_GREEDY)

PREPROCESSOR = Keys(
    used=frozenset({"image_mean", "image_std", "size", "crop_size"}),
    fixed={"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": 3, "rescale_factor": 1 / 255},
)

TOKENIZER = Keys(
    used=frozenset({"legacy", "bos_token", "eos_token"}),
    fixed={"add_bos_token": True, "add_eos_token": False, "sp_model_kwargs": None},
)
