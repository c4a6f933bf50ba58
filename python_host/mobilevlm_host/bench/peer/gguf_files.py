"""A checkpoint in the published layout → the two GGUF files that llama.cpp reads: language model, and tower with projector.

Names and metadata follow llama.cpp's ``llama`` architecture and its ``clip.cpp``. Tensors are read and written one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from numpy.typing import NDArray
from sentencepiece import sentencepiece_model_pb2 as pb
from torch import Tensor

from mobilevlm_export.checkpoint.key_map import TOWER, is_norm
from mobilevlm_export.checkpoint.weight_files import Weights, open_weights
from mobilevlm_export.config import LlamaConfig, MobileVLMConfig
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.files.atomic_file import atomic_file
from mobilevlm_export.progress import Progress, silent
from mobilevlm_export.published_config import read_config
from mobilevlm_host.bench.peer.gguf_projectors import gguf_projector

F16, F32, Q8_0 = GGMLQuantizationType.F16, GGMLQuantizationType.F32, GGMLQuantizationType.Q8_0

_LANGUAGE_MODEL = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LANGUAGE_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_TOWER = {
    "embeddings.class_embedding": "v.class_embd",
    "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
    "pre_layrnorm.weight": "v.pre_ln.weight",
    "pre_layrnorm.bias": "v.pre_ln.bias",
}
_TOWER_LAYER = {
    "layer_norm1": "ln1",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "layer_norm2": "ln2",
    "mlp.fc1": "ffn_up",
    "mlp.fc2": "ffn_down",
}
_CONVOLUTIONS = re.compile(r"v\.patch_embd\.weight|mm\.model\.(peg\.0|mb_block\.\d\.block\.0\.0)\.weight")
_TOKEN_TYPES = {
    pb.ModelProto.SentencePiece.NORMAL: TokenType.NORMAL,
    pb.ModelProto.SentencePiece.UNKNOWN: TokenType.UNKNOWN,
    pb.ModelProto.SentencePiece.CONTROL: TokenType.CONTROL,
    pb.ModelProto.SentencePiece.USER_DEFINED: TokenType.USER_DEFINED,
    pb.ModelProto.SentencePiece.UNUSED: TokenType.UNUSED,
    pb.ModelProto.SentencePiece.BYTE: TokenType.BYTE,
}


@dataclass(frozen=True)
class _Entry:
    """A tensor of a GGUF file: its source, and how it is stored."""

    key: str
    kind: GGMLQuantizationType
    change: Callable[[Tensor], Tensor] | None = None

    def kind_of(self, row: int) -> GGMLQuantizationType:
        """The type of a tensor with rows of this length: float16 where Q8_0's blocks don't fit, as in llama.cpp's quantizer."""
        return F16 if self.kind == Q8_0 and row % GGML_QUANT_SIZES[Q8_0][0] else self.kind


def write_language_model(checkpoint: Path, path: Path, progress: Progress = silent) -> None:
    """Write the language model and tokenizer of ``checkpoint`` to ``path``: matrices float16, norms float32.

    Raises:
        CheckpointError: a weight or the tokenizer is missing or damaged.
        ConfigError: ``config.json`` is malformed or of a model that the kit doesn't support.
    """
    config, weights = read_config(checkpoint), open_weights(checkpoint)
    llm = config.llm
    entries = {name: _language_entry(key, llm) for key, name in _language_names(config, weights).items()}
    with atomic_file(path) as temporary:
        writer = GGUFWriter(temporary, "llama")
        writer.add_name(config.name)
        writer.add_file_type(LlamaFileType.MOSTLY_F16)
        writer.add_vocab_size(llm.vocab_size)
        writer.add_context_length(llm.max_position_embeddings)
        writer.add_embedding_length(llm.hidden_size)
        writer.add_feed_forward_length(llm.intermediate_size)
        writer.add_block_count(llm.num_layers)
        writer.add_head_count(llm.num_heads)
        writer.add_head_count_kv(llm.num_kv_heads)
        writer.add_rope_dimension_count(llm.head_dim)
        writer.add_rope_freq_base(llm.rope_theta)
        writer.add_layer_norm_rms_eps(llm.rms_norm_eps)
        _add_tokenizer(writer, checkpoint / "tokenizer.model", config)
        _write_tensors(writer, weights, checkpoint, entries, progress)


def write_projector(
    checkpoint: Path, path: Path, linears: GGMLQuantizationType = F16, progress: Progress = silent
) -> None:
    """Write the vision tower and projector of ``checkpoint`` to ``path``: matrices as ``linears`` (F16 or Q8_0), the rest float.

    Only the tower's layers that run are written.

    Raises:
        CheckpointError: a weight is missing or damaged, or llama.cpp doesn't compute the projector.
        ConfigError: ``config.json`` is malformed or of a model that the kit doesn't support.
    """
    config = read_config(checkpoint)
    projector = gguf_projector(config, checkpoint)
    weights, vision = open_weights(checkpoint), config.vision
    names = _tower_names(config) | projector.names
    entries = {name: _vision_entry(key, name, linears) for key, name in names.items()}
    with atomic_file(path) as temporary:
        writer = GGUFWriter(temporary, "clip")
        writer.add_name(config.name)
        writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if linears == Q8_0 else LlamaFileType.MOSTLY_F16)
        writer.add_clip_has_vision_encoder(True)
        writer.add_clip_projector_type(projector.type)
        writer.add_vision_image_size(vision.image_size)
        writer.add_vision_patch_size(vision.patch_size)
        writer.add_vision_embedding_length(vision.hidden_size)
        writer.add_vision_feed_forward_length(vision.intermediate_size)
        writer.add_vision_block_count(vision.num_run_layers)
        # The output of the last layer in the file is used; without this key clip.cpp would skip one more layer.
        writer.add_array("clip.vision.feature_layer", [vision.num_run_layers])
        writer.add_vision_head_count(vision.num_heads)
        writer.add_vision_projection_dim(config.projector.hidden_size)
        writer.add_vision_attention_layernorm_eps(vision.layer_norm_eps)
        writer.add_vision_image_mean(vision.image_mean)
        writer.add_vision_image_std(vision.image_std)
        writer.add_vision_use_gelu(False)  # with the next key also false: QuickGELU
        writer.add_vision_use_silu(False)
        _write_tensors(writer, weights, checkpoint, entries, progress)


def _language_names(config: MobileVLMConfig, weights: Weights) -> dict[str, str]:
    names = {key: name for key, name in _LANGUAGE_MODEL.items() if key in weights or not config.tie_word_embeddings}
    for layer in range(config.llm.num_layers):
        names |= {
            f"model.layers.{layer}.{part}.weight": f"blk.{layer}.{name}.weight"
            for part, name in _LANGUAGE_LAYER.items()
        }
    return names


def _language_entry(key: str, llm: LlamaConfig) -> _Entry:
    if "norm" in key:
        return _Entry(key, F32)
    if key.endswith("q_proj.weight"):
        return _Entry(key, F16, lambda weight: _interleaved(weight, llm.num_heads))
    if key.endswith("k_proj.weight"):
        return _Entry(key, F16, lambda weight: _interleaved(weight, llm.num_kv_heads))
    return _Entry(key, F16)


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Reorder rows of ``weight`` [H * K, D] from Hugging Face's RoPE, which pairs rows i and i + K/2, to ggml's, which pairs neighbors."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def _tower_names(config: MobileVLMConfig) -> dict[str, str]:
    names = {TOWER + key: name for key, name in _TOWER.items()}
    for layer in range(config.vision.num_run_layers):
        names |= {
            f"{TOWER}encoder.layers.{layer}.{part}.{kind}": f"v.blk.{layer}.{name}.{kind}"
            for part, name in _TOWER_LAYER.items()
            for kind in ("weight", "bias")
        }
    return names


def _vision_entry(key: str, name: str, linears: GGMLQuantizationType) -> _Entry:
    """How a tensor is stored: llama.cpp supports only float16 convolutions; vectors and embeddings stay float32."""
    if _CONVOLUTIONS.fullmatch(name):
        return _Entry(key, F16)
    if not name.endswith(".weight") or is_norm(key) or "position" in name:
        return _Entry(key, F32)
    return _Entry(key, linears, lambda weight: weight.flatten(1))  # a linear may be published as a 1 × 1 convolution


def _add_tokenizer(writer: GGUFWriter, model: Path, config: MobileVLMConfig) -> None:
    """Add SentencePiece's pieces, scores and types, with filler pieces up to the number of the embedding's rows."""
    proto = pb.ModelProto()
    try:
        proto.ParseFromString(model.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{model}: no such file, expected the checkpoint's SentencePiece model") from None
    pieces = [(piece.piece, piece.score, _TOKEN_TYPES[piece.type]) for piece in proto.pieces]
    pieces += [(f"[PAD{index}]", -1000.0, TokenType.UNUSED) for index in range(len(pieces), config.llm.vocab_size)]
    texts, scores, kinds = zip(*pieces, strict=True)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text.encode() for text in texts])
    writer.add_token_scores(list(scores))
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(config.bos_id)
    writer.add_eos_token_id(config.eos_id)
    writer.add_unk_token_id(proto.trainer_spec.unk_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)


def _write_tensors(
    writer: GGUFWriter, weights: Weights, checkpoint: Path, entries: Mapping[str, _Entry], progress: Progress
) -> None:
    """Write all sizes first, then the values one by one, so that only one tensor is in memory at a time."""
    for name, entry in entries.items():
        if entry.key not in weights:
            raise CheckpointError(f"{checkpoint}: missing {entry.key}")
        shape = tuple(_read(weights, entry).shape)
        kind = entry.kind_of(shape[-1])
        stored = quants.quant_shape_to_byte_shape(shape, Q8_0) if kind == Q8_0 else shape
        dtype = np.dtype(_DTYPES[kind])
        writer.add_tensor_info(name, stored, dtype, int(np.prod(stored)) * dtype.itemsize, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for index, values in enumerate(_values(weights, entries)):
        writer.write_tensor_data(values)
        progress("writing GGUF", index + 1, len(entries))
    writer.close()


_DTYPES = {F16: np.float16, F32: np.float32, Q8_0: np.uint8}


def _values(weights: Weights, entries: Mapping[str, _Entry]) -> Iterator[NDArray[np.generic]]:
    for entry in entries.values():
        tensor = _read(weights, entry)
        kind = entry.kind_of(tensor.shape[-1])
        if kind == Q8_0:
            yield quants.quantize(tensor.float().numpy(), Q8_0)
        else:
            yield tensor.to(torch.float16 if kind == F16 else torch.float32).contiguous().numpy()


def _read(weights: Weights, entry: _Entry) -> Tensor:
    tensor = weights.read(entry.key)
    return entry.change(tensor) if entry.change else tensor
