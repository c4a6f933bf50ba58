"""Every published form loads to the same values; missing, unexpected, misshapen or unsafe weights are named."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import PROJECTORS, TINY, random_model
from transformers import CLIPVisionConfig, CLIPVisionModel, LlavaForConditionalGeneration
from transformers import LlamaConfig as HFLlamaConfig
from transformers import LlavaConfig as HFLlavaConfig

from mobilevlm_export.checkpoint.key_map import TOWER
from mobilevlm_export.checkpoint.load import checkpoint_sha256, load_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.checkpoint.weight_files import open_weights
from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.model import MobileVLM


@pytest.fixture
def saved(tmp_path: Path, tiny_tokenizer_model: Path) -> Path:
    folder = tmp_path / "model"
    save_checkpoint(random_model(), folder, tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    return folder


def _change(folder: Path, **changes: torch.Tensor | None) -> None:
    """Rewrite the weights with some keys (``__`` for a dot) replaced, added, or, if None, removed."""
    tensors: dict[str, Any] = load_file(folder / "model.safetensors")
    for key, tensor in changes.items():
        tensors[key.replace("__", ".")] = tensor
    save_file({key: tensor for key, tensor in tensors.items() if tensor is not None}, folder / "model.safetensors")


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("shard", [None, 200_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_form_loads_to_the_same_numbers(
    tmp_path: Path, tiny_tokenizer_model: Path, form: str, shard: int | None, dtype: torch.dtype
) -> None:
    model, folder = random_model(), tmp_path / "model"
    save_checkpoint(model, folder, tokenizer_model=tiny_tokenizer_model, form=form, dtype=dtype, max_shard_bytes=shard)
    loaded = load_checkpoint(folder)
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], tensor.to(dtype).float()), name
    assert len(list(folder.glob("*.index.json"))) == (1 if shard else 0)


@pytest.mark.parametrize("projector_type", [*PROJECTORS, "mlp3x_gelu"])
def test_every_projector_is_saved_and_loaded(tmp_path: Path, tiny_tokenizer_model: Path, projector_type: str) -> None:
    model, folder = random_model(projector_type=projector_type), tmp_path / "model"
    save_checkpoint(model, folder, tokenizer_model=tiny_tokenizer_model, dtype=torch.float32)
    loaded = load_checkpoint(folder)
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


@pytest.mark.parametrize("prefix", ["old", "new"])
def test_transformers_llava_computes_the_same(tmp_path: Path, tiny_tokenizer_model: Path, prefix: str) -> None:
    """The folder is as transformers saves it, with the names of versions 4 and 5."""
    sizes = TINY.vision
    tower = CLIPVisionConfig(
        image_size=sizes.image_size, patch_size=sizes.patch_size, hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size, num_hidden_layers=sizes.num_layers, num_attention_heads=sizes.num_heads,
    )  # fmt: skip
    text = HFLlamaConfig(
        vocab_size=TINY.llm.vocab_size, hidden_size=96, intermediate_size=192, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=256, rms_norm_eps=1e-6,
    )  # fmt: skip
    image_token = TINY.llm.vocab_size - 1
    torch.manual_seed(0)
    theirs = LlavaForConditionalGeneration(
        HFLlavaConfig(vision_config=tower, text_config=text, image_token_index=image_token)
    ).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    folder = tmp_path / "llava"
    theirs.save_pretrained(folder)
    shutil.copyfile(tiny_tokenizer_model, folder / "tokenizer.model")
    tensors = load_file(folder / "model.safetensors")
    renamed = {}
    for key, tensor in tensors.items():
        old = key.replace("model.language_model.", "language_model.model.")
        old = old.removeprefix("model.") if "vision_tower" in old or "multi_modal_projector" in old else old
        old = "language_model." + old if old.startswith("lm_head") else old
        new = old.replace("language_model.model.", "model.language_model.").replace("language_model.lm_head", "lm_head")
        new = "model." + new if "vision_tower" in old or "multi_modal_projector" in old else new
        renamed[{"old": old, "new": new}[prefix]] = tensor
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    twice = renamed | {"model.norm.weight": torch.ones(96), "lm_head.weight": torch.ones(TINY.llm.vocab_size, 96)}
    ours = load_checkpoint(folder)
    save_file(twice, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="missing "):
        load_checkpoint(folder)
    pixels = torch.randint(0, 256, (3, 56, 56), dtype=torch.uint8)
    count = ours.config.image_tokens
    assert count == 16
    with torch.no_grad():
        logits = ours.text_decoder(ours.embed([[1, 9, 200], pixels, [30, 31, 32]]))
        ids = torch.tensor([[1, 9, 200, *[image_token] * count, 30, 31, 32]])
        expected = theirs(
            input_ids=ids,
            pixel_values=ours.vision_encoder.normalized(pixels[None]),
            attention_mask=torch.ones_like(ids),
        ).logits
    assert (logits - expected).abs().max() <= 2e-4


def test_a_legacy_bin_and_old_buffers(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(16)
    tensors[TOWER + "embeddings.position_ids"] = torch.arange(17)
    (saved / "model.safetensors").unlink()
    torch.save(tensors, saved / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert torch.equal(load_checkpoint(saved).token_embedding.weight, tensors["model.embed_tokens.weight"])


def test_a_tower_from_a_clip_folder(saved: Path, tmp_path: Path) -> None:
    tower = tmp_path / "clip"
    sizes = {"image_size": 56, "patch_size": 14, "hidden_size": 64, "intermediate_size": 128}
    torch.manual_seed(1)
    clip = CLIPVisionModel(CLIPVisionConfig(**sizes, num_hidden_layers=3, num_attention_heads=2))
    clip.save_pretrained(tower)
    _change(
        saved,
        **{key.replace(".", "__"): None for key in load_file(saved / "model.safetensors") if key.startswith(TOWER)},
    )
    with pytest.raises(CheckpointError, match="names 'tiny': give its folder with --vision-tower"):
        load_checkpoint(saved)
    loaded = load_checkpoint(saved, vision_tower=tower)
    weights = {name.removeprefix("vision_model."): tensor for name, tensor in clip.state_dict().items()}
    expected = weights["embeddings.patch_embedding.weight"]
    assert torch.equal(loaded.vision_encoder.tower.embeddings.patch_embedding.weight, expected)


def test_unused_tower_layers_are_written_but_not_read(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    assert TOWER + "encoder.layers.2.mlp.fc1.weight" in tensors
    assert TOWER + "post_layernorm.weight" in tensors
    assert len(load_checkpoint(saved).vision_encoder.tower.layers) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__norm__weight": None}, "missing model.norm.weight"),
        ({"model__extra": torch.ones(2, 3)}, "got keys that the model in config.json doesn't have: model.extra [2, 3]"),
        ({"model__norm__weight": torch.ones(7)}, "model.norm.weight: got shape [7], expected [96]"),
        ({"model__norm__weight": torch.full((96,), torch.nan)}, "model.norm.weight: got values that are not finite"),
        (
            {"model__norm__weight": torch.ones(96, dtype=torch.int64)},
            "model.norm.weight: got values that are not finite",
        ),
    ],
)
def test_wrong_weights_are_named(saved: Path, changes: dict[str, Any], message: str) -> None:
    _change(saved, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def _as_bin(folder: Path, **changes: Any) -> Path:
    """The checkpoint in ``folder`` as ``pytorch_model.bin``, with some tensors changed."""
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name.replace("__", "."): value for name, value in changes.items()}
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.ones(96).to_sparse(), "model.norm.weight: got a sparse_coo tensor"),
        (torch.ones(96, device="meta"), "model.norm.weight: got a meta tensor"),
        (torch.ones(96).to(torch.float8_e4m3fn), "not finite numbers of 16 bits or more (torch.float8_e4m3fn)"),
        (torch.ones(96, dtype=torch.complex64), "not finite numbers of 16 bits or more (torch.complex64)"),
    ],
)
def test_tensors_of_other_kinds_are_refused(saved: Path, value: torch.Tensor, message: str) -> None:
    _as_bin(saved, model__norm__weight=value)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_checksums_of_bin_files_are_verified(saved: Path) -> None:
    """torch maps a weight file without verifying it."""
    path = _as_bin(saved)
    load_checkpoint(saved)
    whole = path.read_bytes()
    at = whole.index(torch.load(path, weights_only=True)["model.norm.weight"].numpy().tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin: .*data/\d+: got a wrong CRC-32, .*the file is damaged"
    ):
        load_checkpoint(saved)
    tensors = torch.load(path, weights_only=True)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tensors, path)
    finally:
        torch.serialization.set_crc32_options(True)
    load_checkpoint(saved)  # written without checksums


def test_a_tied_head_is_the_embedding_only_if_the_config_says_so(saved: Path) -> None:
    _change(saved, lm_head__weight=None)
    with pytest.raises(CheckpointError, match=r"missing lm_head\.weight"):
        load_checkpoint(saved)
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    loaded = load_checkpoint(saved)
    assert torch.equal(loaded.text_decoder.lm_head.weight, loaded.token_embedding.weight)
    _change(saved, lm_head__weight=loaded.token_embedding.weight.detach().clone())
    assert torch.equal(load_checkpoint(saved).text_decoder.lm_head.weight, loaded.token_embedding.weight)
    _change(saved, lm_head__weight=torch.ones_like(loaded.token_embedding.weight))
    with pytest.raises(
        CheckpointError, match=r"lm_head\.weight: got values different from model\.embed_tokens\.weight"
    ):
        load_checkpoint(saved)


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("pwned"),))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("pytorch_model.bin", pickle.dumps(_Code()), "refused, because it could run code"),
        ("pytorch_model.bin", b"junk", "expected PyTorch weights"),
        ("pytorch_model.bin", b"", "got an empty file"),
        ("model.safetensors", b"junk" * 10, "expected safetensors"),
        ("model.safetensors.index.json", b"{", "got truncated JSON, expected an object with weight_map"),
        ("model.safetensors.index.json", b"[]", "got a malformed index"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": 1}}', "got a malformed index"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "\\u0000"}}', "got a malformed index"),
        ("model.safetensors.index.json", b'{"weight_map": {}}', "got an empty weight_map"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "gone.safetensors"}}', "no such file"),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "../x.safetensors"}}',
            "got the shard '../x.safetensors'",
        ),
    ],
)
def test_damaged_files_are_refused(saved: Path, name: str, data: bytes, message: str) -> None:
    (saved / "model.safetensors").unlink()
    (saved / name).write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(saved)
    if message == "refused, because it could run code":
        assert not Path("pwned").exists()
    assert message in str(caught.value) or (name.endswith(".bin") and str(saved / name) in str(caught.value))
    assert "\n" not in str(caught.value)


def test_truncated_or_missing_weights_are_refused(saved: Path, tmp_path: Path) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="got a damaged file"):
        load_checkpoint(saved)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"got no weights, expected one of model\.safetensors"):
        load_checkpoint(saved)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(tmp_path / "absent")


def test_saving_never_overwrites_and_leaves_nothing_half_written(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="already exists"):
        save_checkpoint(random_model(), saved, tokenizer_model=saved / "tokenizer.model")
    with pytest.raises(FileNotFoundError):
        save_checkpoint(random_model(), tmp_path / "new", tokenizer_model=tmp_path / "absent.model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_hash_is_of_the_contents(saved: Path) -> None:
    before = checkpoint_sha256(saved)
    assert checkpoint_sha256(saved) == before
    _change(saved, model__norm__weight=torch.zeros(96))
    assert checkpoint_sha256(saved) != before


def test_how_the_tokenizer_is_used_is_saved_and_hashed(saved: Path, tmp_path: Path) -> None:
    before = checkpoint_sha256(saved)
    (saved / "tokenizer_config.json").write_text('{"legacy": false}')
    assert checkpoint_sha256(saved) != before
    model = load_checkpoint(saved)
    save_checkpoint(model, tmp_path / "again", tokenizer_model=saved / "tokenizer.model")
    again = load_checkpoint(tmp_path / "again")
    assert again.tokenizer is not None
    assert not again.tokenizer.legacy


def test_weights_keep_their_own_precision_on_request(saved: Path) -> None:
    _change(saved, **{"model.norm.weight": torch.ones(TINY.llm.hidden_size, dtype=torch.bfloat16)})
    state = load_checkpoint(saved, dtype=None).state_dict()
    assert state["text_decoder.norm.weight"].dtype == torch.bfloat16
    assert state["text_decoder.lm_head.weight"].dtype == torch.float32
    assert {tensor.dtype for tensor in load_checkpoint(saved).state_dict().values()} == {torch.float32}


# In a process of its own: what other tests have freed would be taken again unseen.
_LOAD = """
import sys
from pathlib import Path
from mobilevlm_export.checkpoint.load import load_checkpoint

def private_bytes():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024

small, large = map(Path, sys.argv[1:])
load_checkpoint(small)  # whatever is made once is made now
before = private_bytes()
load_checkpoint(large, progress=lambda *_: print(private_bytes() - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="private memory, without mapped files, is read from /proc")
@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_loading_takes_the_memory_of_one_model(
    saved: Path, tmp_path: Path, tiny_tokenizer_model: Path, form: str
) -> None:
    llm = replace(TINY.llm, hidden_size=512, intermediate_size=2048, num_layers=8, num_heads=8, num_kv_heads=8)
    config = replace(TINY, llm=llm, projector=replace(TINY.projector, hidden_size=512))
    model = MobileVLM(config)
    large = tmp_path / "large"
    save_checkpoint(model, large, tokenizer_model=tiny_tokenizer_model, form=form, dtype=torch.float32)
    size = sum(parameter.nbytes for parameter in model.parameters())
    assert size > 100e6
    command = [sys.executable, "-c", _LOAD, str(saved), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    used = [int(line) for line in done.stdout.split()]
    assert 0.8 * size < max(used) < 1.6 * size  # the allocator keeps some of what is freed
    assert used[len(used) // 4] < 0.6 * size  # nothing is read in advance


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="reads the mappings that Linux shows")
def test_a_read_weight_leaves_no_mapping(saved: Path) -> None:
    """Otherwise a large checkpoint would count as memory in addition to the model."""
    weights = open_weights(saved)
    read = [weights.read(key) for key in weights]
    assert sum(tensor.numel() for tensor in read) > 0
    del read
    maps = Path("/proc/self/maps").read_text()
    assert not [file for file in weights.files if str(file) in maps]
