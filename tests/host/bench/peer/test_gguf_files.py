"""GGUF files, read back and computed as in llama.cpp, give the model's outputs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, quants
from safetensors.torch import load_file, save_file
from sentencepiece import sentencepiece_model_pb2 as pb
from tiny import TINY, VOCAB_SIZE, random_model, tiny_config
from torch import Tensor
from torch.nn import functional

from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.model.mobilevlm import VisionEncoder
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.bench.peer.gguf_files import F16, Q8_0, write_language_model, write_projector
from mobilevlm_host.bench.peer.pool_and_peg import PoolAndPeg

LLM, VISION = TINY.llm, TINY.vision
Written = Callable[[str, int], tuple[GGUFReader, VisionEncoder]]


@pytest.fixture(scope="module")
def language_model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> GGUFReader:
    path = tmp_path_factory.mktemp("gguf") / "language-model.gguf"
    write_language_model(tiny_checkpoint, path)
    return GGUFReader(path)


@pytest.fixture(scope="module")
def projectors(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("gguf")
    for linears in (F16, Q8_0):
        write_projector(tiny_checkpoint, folder / f"{linears.name}.gguf", linears)
    return {linears.name: folder / f"{linears.name}.gguf" for linears in (F16, Q8_0)}


def values(reader: GGUFReader) -> dict[str, Tensor]:
    return {t.name: torch.from_numpy(quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}


def metadata(reader: GGUFReader) -> dict[str, Any]:
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}


def turned(x: Tensor) -> Tensor:
    """ggml's RoPE of ``x`` [T, H, K]: neighbours are the two parts of a pair."""
    tokens, _, size = x.shape
    angles = torch.arange(tokens)[:, None] / LLM.rope_theta ** (torch.arange(0, size, 2) / size)
    even, odd, cos, sin = x[..., ::2], x[..., 1::2], angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def normed(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + LLM.rms_norm_eps) * weight


def logits(file: dict[str, Tensor], ids: list[int]) -> Tensor:
    """The ``llama`` architecture over a file's tensors."""
    x = file["token_embd.weight"][ids]
    for layer in range(LLM.num_layers):
        w = {name.split(".")[2]: tensor for name, tensor in file.items() if name.startswith(f"blk.{layer}.")}
        h = normed(x, w["attn_norm"])
        q, k, v = (functional.linear(h, w[f"attn_{part}"]).unflatten(-1, (LLM.num_heads, -1)) for part in "qkv")
        q, k, v = turned(q).transpose(0, 1), turned(k).transpose(0, 1), v.transpose(0, 1)
        seen = q @ k.transpose(1, 2) / math.sqrt(LLM.head_dim) + torch.full((len(ids), len(ids)), -math.inf).triu(1)
        x = x + functional.linear((seen.softmax(-1) @ v).transpose(0, 1).flatten(1), w["attn_output"])
        h = normed(x, w["ffn_norm"])
        gated = functional.silu(functional.linear(h, w["ffn_gate"])) * functional.linear(h, w["ffn_up"])
        x = x + functional.linear(gated, w["ffn_down"])
    return functional.linear(normed(x, file["output_norm.weight"]), file["output.weight"])


def test_the_language_model_computes_what_the_checkpoint_does(language_model: GGUFReader) -> None:
    ids = [1, 40, 300, 7, 7, 99, 12]
    model = random_model()
    expected = model.text_decoder(model.token_embedding(torch.tensor([ids])))[0]
    torch.testing.assert_close(logits(values(language_model), ids), expected, atol=0.01, rtol=0.01)


def test_matrices_are_float16_and_norms_float32(language_model: GGUFReader) -> None:
    kinds = {tensor.name: tensor.tensor_type.name for tensor in language_model.tensors}
    assert len(kinds) == 3 + 9 * LLM.num_layers
    assert all(kind == ("F32" if "norm" in name else "F16") for name, kind in kinds.items())


def test_the_language_models_metadata_has_its_sizes(language_model: GGUFReader) -> None:
    says = metadata(language_model)
    assert says["general.architecture"] == "llama"
    expected = {
        "llama.vocab_size": VOCAB_SIZE,
        "llama.context_length": LLM.max_position_embeddings,
        "llama.embedding_length": LLM.hidden_size,
        "llama.feed_forward_length": LLM.intermediate_size,
        "llama.block_count": LLM.num_layers,
        "llama.attention.head_count": LLM.num_heads,
        "llama.attention.head_count_kv": LLM.num_kv_heads,
        "llama.rope.dimension_count": LLM.head_dim,
    }
    assert {key: says[key] for key in expected} == expected
    assert says["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(LLM.rms_norm_eps)
    assert says["llama.rope.freq_base"] == pytest.approx(LLM.rope_theta)


def test_the_tokenizer_is_the_checkpoints(language_model: GGUFReader, tiny_tokenizer_model: Path) -> None:
    says, tokenizer = metadata(language_model), Tokenizer(tiny_tokenizer_model)
    assert says["tokenizer.ggml.model"] == "llama"
    assert says["tokenizer.ggml.tokens"] == [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    assert len(set(says["tokenizer.ggml.scores"])) > 50  # merges follow the scores
    kinds = says["tokenizer.ggml.token_type"]
    assert (kinds[0], kinds[1], kinds[2], kinds.count(6)) == (2, 3, 3, 256)  # unknown, control, control, bytes
    assert (says["tokenizer.ggml.bos_token_id"], says["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert says["tokenizer.ggml.add_space_prefix"] is True
    assert says["tokenizer.ggml.remove_extra_whitespaces"] is False


def test_ids_beyond_the_tokenizer_are_filled_up(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shorter = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, shorter)
    model = shorter / "tokenizer.model"
    proto = pb.ModelProto()
    proto.ParseFromString(model.read_bytes())
    del proto.pieces[-3:]
    model.write_bytes(proto.SerializeToString())
    write_language_model(shorter, tmp_path / "a.gguf")
    says = metadata(GGUFReader(tmp_path / "a.gguf"))
    assert len(says["tokenizer.ggml.tokens"]) == len(says["tokenizer.ggml.scores"]) == VOCAB_SIZE
    assert says["tokenizer.ggml.token_type"][-3:] == [5, 5, 5]  # unused


def test_the_projector_file_has_the_tower_layers_that_run(projectors: dict[str, Path]) -> None:
    reader = GGUFReader(projectors["F16"])
    says, file = metadata(reader), values(reader)
    layers = VISION.num_run_layers
    assert (says["clip.vision.block_count"], says["clip.vision.feature_layer"]) == (layers, [layers])
    assert f"v.blk.{layers - 1}.ffn_down.weight" in file
    assert f"v.blk.{layers}.ffn_down.weight" not in file
    assert not any("post_ln" in name for name in file)
    assert (says["clip.use_gelu"], says["clip.use_silu"], says["clip.has_vision_encoder"]) == (False, False, True)
    assert says["clip.vision.image_mean"] == pytest.approx(VISION.image_mean)
    assert says["clip.vision.image_std"] == pytest.approx(VISION.image_std)
    assert (says["clip.vision.image_size"], says["clip.vision.patch_size"]) == (VISION.image_size, VISION.patch_size)
    tower = random_model().vision_encoder.tower
    for name, expected in {
        "v.class_embd": tower.embeddings.class_embedding,
        "v.patch_embd.weight": tower.embeddings.patch_embedding.weight,
        "v.position_embd.weight": tower.embeddings.position_embedding,
        "v.pre_ln.bias": tower.pre_layrnorm.bias,
        "v.blk.1.attn_q.weight": tower.layers[1].self_attn.q_proj.weight,
        "v.blk.1.attn_out.bias": tower.layers[1].self_attn.out_proj.bias,
        "v.blk.0.ffn_up.weight": tower.layers[0].mlp.fc1.weight,
        "v.blk.0.ffn_down.weight": tower.layers[0].mlp.fc2.weight,
        "v.blk.0.ln2.weight": tower.layers[0].layer_norm2.weight,
    }.items():
        torch.testing.assert_close(file[name].reshape(expected.shape), expected, atol=1e-3, rtol=1e-3)


def test_only_the_linears_are_quantized(projectors: dict[str, Path]) -> None:
    quantized = GGUFReader(projectors["Q8_0"])
    linears = {t.name for t in quantized.tensors if t.tensor_type.name == "Q8_0"}
    assert len(linears) == 6 * VISION.num_run_layers + 2
    assert all("attn" in name or "ffn" in name or name.startswith("mm.") for name in linears)
    convolutions = {t.name for t in quantized.tensors if t.tensor_type.name == "F16"}
    assert convolutions == {"v.patch_embd.weight", "mm.model.peg.0.weight"}
    exact = values(GGUFReader(projectors["F16"]))
    for name, tensor in values(quantized).items():
        torch.testing.assert_close(tensor, exact[name].reshape(tensor.shape), atol=0.01, rtol=0.01)


def test_another_patch_grid_leaves_pooling_and_the_convolution_to_the_reader(projectors: dict[str, Path]) -> None:
    reader, projector = GGUFReader(projectors["F16"]), random_model().vision_encoder.projector
    assert metadata(reader)["clip.projector_type"] == "mlp"
    features = torch.randn(1, VISION.num_patches, VISION.hidden_size, generator=torch.Generator().manual_seed(0))
    file = values(reader)
    x = functional.gelu(functional.linear(features, file["mm.0.weight"], file["mm.0.bias"]))
    x = functional.linear(x, file["mm.2.weight"], file["mm.2.bias"])
    pool_and_peg = PoolAndPeg.of(projectors["F16"])
    assert pool_and_peg is not None
    got = torch.from_numpy(pool_and_peg(x[0].numpy()))
    torch.testing.assert_close(got, projector(features)[0], atol=5e-3, rtol=5e-3)


@pytest.fixture
def written(tmp_path: Path, tiny_tokenizer_model: Path) -> Written:
    """Makes the projector file of a model with random weights, a projector and a grid of patches."""

    def write(projector_type: str, grid: int) -> tuple[GGUFReader, VisionEncoder]:
        sizes = tiny_config(projector_type)
        torch.manual_seed(0)
        model = MobileVLM(replace(sizes, vision=replace(sizes.vision, image_size=grid * sizes.vision.patch_size)))
        for parameter in model.vision_encoder.projector.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        save_checkpoint(model.eval(), tmp_path / "checkpoint", tokenizer_model=tiny_tokenizer_model)
        write_projector(tmp_path / "checkpoint", tmp_path / "a.gguf")
        return GGUFReader(tmp_path / "a.gguf"), model.vision_encoder

    return write


def test_the_published_grid_is_llama_cpps_own_ldpv2(written: Written, tmp_path: Path) -> None:
    reader, _ = written("ldpnetv2", 24)
    assert metadata(reader)["clip.projector_type"] == "ldpv2"
    names = {tensor.name for tensor in reader.tensors if tensor.name.startswith("mm.")}
    parts = ("mlp.0", "mlp.2", "peg.0")
    assert names == {f"mm.model.{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    assert PoolAndPeg.of(tmp_path / "a.gguf") is None


def inverted_residual(x: Tensor, file: dict[str, Tensor], block: int, stride: int) -> Tensor:
    """llama.cpp's block of LDP over ``x`` [C, G, G]; its linears have two dimensions."""
    w = {name.partition(f"mb_block.{block}.block.")[2]: tensor for name, tensor in file.items()}
    mixed = functional.conv2d(x, w["0.0.weight"], stride=stride, padding=1, groups=len(x)).movedim(0, 2)
    mixed = functional.hardswish(functional.layer_norm(mixed, mixed.shape[2:], w["0.1.weight"], w["0.1.bias"]))
    scale = functional.relu(functional.linear(mixed.mean((0, 1)), w["1.fc1.weight"], w["1.fc1.bias"]))
    mixed = mixed * functional.hardsigmoid(functional.linear(scale, w["1.fc2.weight"], w["1.fc2.bias"]))
    mixed = functional.linear(mixed, w["2.0.weight"])
    return functional.layer_norm(mixed, mixed.shape[2:], w["2.1.weight"], w["2.1.bias"]).movedim(2, 0)


def test_the_first_mobilevlms_projector_is_llama_cpps_ldp(written: Written) -> None:
    reader, encoder = written("ldpnet", 24)
    assert metadata(reader)["clip.projector_type"] == "ldp"
    kinds = {t.name: t.tensor_type.name for t in reader.tensors if t.name.startswith("mm.") and len(t.shape) > 1}
    convolutions = {name for name in kinds if name.endswith("block.0.0.weight")}
    assert len(kinds) == 2 + 2 * 4
    assert len(convolutions) == 2
    assert set(kinds.values()) == {"F16"}
    file = values(reader)
    features = torch.randn(24 * 24, VISION.hidden_size, generator=torch.Generator().manual_seed(0))
    x = functional.linear(features, file["mm.model.mlp.1.weight"], file["mm.model.mlp.1.bias"])
    x = functional.linear(functional.gelu(x), file["mm.model.mlp.3.weight"], file["mm.model.mlp.3.bias"])
    x = x.T.reshape(-1, 24, 24)
    x = inverted_residual(x + inverted_residual(x, file, 1, 1), file, 2, 2)
    torch.testing.assert_close(x.flatten(1).T, encoder.projector(features[None])[0], atol=0.02, rtol=0.02)


def test_rows_that_a_block_does_not_divide_stay_float16(written: Written, tmp_path: Path) -> None:
    """Squeeze and excitation of a small model is 24 wide, a block of Q8_0 32."""
    written("ldpnet", 24)
    write_projector(tmp_path / "checkpoint", tmp_path / "b.gguf", Q8_0)
    kinds = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "b.gguf").tensors}
    assert [kinds[f"mm.model.mb_block.1.block.1.{fc}.weight"] for fc in ("fc1", "fc2")] == ["Q8_0", "F16"]


@pytest.mark.parametrize("grid", [4, 24])
def test_llavas_projector_is_llama_cpps_mlp(written: Written, tmp_path: Path, grid: int) -> None:
    reader, encoder = written("mlp2x_gelu", grid)
    assert metadata(reader)["clip.projector_type"] == "mlp"
    assert PoolAndPeg.of(tmp_path / "a.gguf") is None
    features = torch.randn(9, VISION.hidden_size, generator=torch.Generator().manual_seed(0))
    file = values(reader)
    x = functional.gelu(functional.linear(features, file["mm.0.weight"], file["mm.0.bias"]))
    x = functional.linear(x, file["mm.2.weight"], file["mm.2.bias"])
    torch.testing.assert_close(x, encoder.projector(features[None])[0], atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize(("projector_type", "grid"), [("ldpnet", 4), ("linear", 24), ("mlp3x_gelu", 24)])
def test_a_projector_that_llama_cpp_computes_otherwise_is_refused(
    written: Written, tmp_path: Path, projector_type: str, grid: int
) -> None:
    said = rf"checkpoint: got the projector {projector_type} on {grid} × {grid} patches, which llama\.cpp doesn't"
    with pytest.raises(CheckpointError, match=said):
        written(projector_type, grid)
    assert not (tmp_path / "a.gguf").exists()


def test_a_missing_weight_is_named_and_nothing_is_left(tiny_checkpoint: Path, tmp_path: Path) -> None:
    broken = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, broken)
    tensors = load_file(broken / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing model\.layers\.1\.mlp\.up_proj\.weight"):
        write_language_model(broken, tmp_path / "a.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_tied_embeddings_need_no_head(tied_checkpoint: Path, tmp_path: Path) -> None:
    write_language_model(tied_checkpoint, tmp_path / "a.gguf")
    names = {tensor.name for tensor in GGUFReader(tmp_path / "a.gguf").tensors}
    assert "token_embd.weight" in names
    assert "output.weight" not in names


def test_shapes_are_ggmls_reversed(language_model: GGUFReader) -> None:
    shapes = {tensor.name: tuple(np.asarray(tensor.shape)) for tensor in language_model.tensors}
    assert shapes["blk.0.ffn_down.weight"] == (LLM.intermediate_size, LLM.hidden_size)
