"""Core ML packages of tiny models are saved as intended, and rejected otherwise.

That the saved programs compute what the eager model does is tested with the evaluator, in ``tests/host``.
"""

from __future__ import annotations

import dataclasses
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import random_model

from mobilevlm_export import __version__
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES, Recipe, make_recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # coremltools' own, while it is imported
    import coremltools as ct

    from mobilevlm_export.lower import coreml_package, coreml_text_decoder
    from mobilevlm_export.lower.coreml import TEXT_DECODER, TOKEN_EMBEDDING, VISION_ENCODER, CoreMLInfo, lower_coreml
    from mobilevlm_export.lower.coreml_checks import ExpectedFunction, check_package
    from mobilevlm_export.lower.token_table import read_token_table, write_token_table

LAYERS, VISION_LAYERS = 2, 2  # the tower's last layer never runs


@dataclasses.dataclass(frozen=True)
class Lowered:
    folder: Path
    info: CoreMLInfo
    model: MobileVLM
    stages: list[tuple[str, int, int]]

    def spec(self, package: str) -> Any:
        return ct.utils.load_spec(str(self.folder / package))


def lower(recipe: Recipe, folder: Path, **options: Any) -> Lowered:
    model = random_model()
    quantize(model, recipe)
    stages: list[tuple[str, int, int]] = []
    options = {"max_context": 100, "prefill_chunk": 16} | options
    info = lower_coreml(model, recipe, folder, progress=lambda *report: stages.append(report), **options)
    return Lowered(folder, info, model, stages)


@pytest.fixture(scope="module")
def int4(tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    return lower(RECIPES["int4"], tmp_path_factory.mktemp("int4"), source_sha256="f00d")


LINEARS = {"int4": 14, "int8": 1}  # of the decoder, in the recipe int4


@pytest.mark.parametrize(
    ("recipe", "llm", "vision", "embedding"),
    [
        (RECIPES["int4"], {"int4": 14, "int8": 1}, {"int8": 14}, "int8"),
        (RECIPES["int8"], {"int8": 15}, {"int8": 14}, "int8"),
        (RECIPES["fp32"], {"fp32": 15}, {"fp32": 14}, "fp32"),
        (
            make_recipe("int4", vision="fp32", embedding="int4"),
            {"int4": 14, "int8": 1},
            {"fp32": 12, "int8": 2},
            "int4",
        ),
        (make_recipe("int8", projector="fp32", llm="fp32"), {"fp32": 15}, {"int8": 12, "fp32": 2}, "int8"),
        (RECIPES["int4-all"], {"int4": 15}, {"int4": 14}, "int4"),
        (make_recipe("int4", lm_head="int4"), {"int4": 15}, {"int8": 14}, "int8"),
        (make_recipe("int4", lm_head="fp32"), {"int4": 14, "fp32": 1}, {"int8": 14}, "int8"),
    ],
    ids=lambda value: value.name if isinstance(value, Recipe) else "",
)
def test_every_knob_reaches_the_saved_programs(
    tmp_path: Path, recipe: Recipe, llm: dict[str, int], vision: dict[str, int], embedding: str
) -> None:
    made = lower(recipe, tmp_path).info
    assert {name: info.linears for name, info in made.functions["text_decoder"].items()} == {
        "prefill": llm,
        "decode": llm,
    }
    assert made.functions["vision_encoder"]["main"].linears == vision
    assert made.embedding_form == embedding
    assert made.types["llm"] == ("fp32" if recipe.llm == "fp32" else "fp16")
    assert made.types["lm_head"] == ("fp32" if recipe.lm_head == "fp32" else "fp16")


def test_the_cache_is_written_and_read_in_both_functions(int4: Lowered) -> None:
    for info in int4.info.functions["text_decoder"].values():
        assert info.operators["write_state"] == info.operators["slice_update"] == 2 * LAYERS
        assert info.operators["read_state"] == 2 + 2 * LAYERS
        assert info.operators["scaled_dot_product_attention"] == LAYERS
        assert info.operators["linear"] == info.operators["constexpr_blockwise_shift_scale"] == 7 * LAYERS + 1
    assert int4.info.functions["vision_encoder"]["main"].operators["scaled_dot_product_attention"] == VISION_LAYERS


def test_one_hot_has_no_dynamic_lookups(tmp_path: Path, int4: Lowered) -> None:
    one_hot = lower(RECIPES["int4"], tmp_path, cache_update="one-hot").info
    for name, info in one_hot.functions["text_decoder"].items():
        assert "gather" not in info.operators
        assert info.operators["write_state"] == 2 * LAYERS
        assert int4.info.functions["text_decoder"][name].operators["gather"] >= 2
    assert one_hot.to_json()["cache_update"] == "one-hot"


def test_inputs_outputs_and_states(int4: Lowered) -> None:
    vision, text = int4.spec(VISION_ENCODER).description, int4.spec(TEXT_DECODER).description
    [image] = vision.input
    assert (image.name, image.type.imageType.width, image.type.imageType.height) == ("image", 56, 56)
    assert image.type.imageType.colorSpace == ct.proto.FeatureTypes_pb2.ImageFeatureType.RGB
    assert shapes(vision.output) == {"image_embeddings": [1, 4, 96], "features": [1, 16, 64]}
    prefill, decode = text.functions
    assert (text.defaultFunctionName, prefill.name, decode.name) == ("prefill", "prefill", "decode")
    assert shapes(prefill.input) == {"embeds": [1, 16, 96], "input_pos": [1], "length": [1]}
    assert shapes(decode.input) == {"embeds": [1, 1, 96], "input_pos": [1]}
    half = ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT16
    for function in (prefill, decode):
        assert shapes(function.output) == {"logits": [1, 1, 340]}
        assert function.input[0].type.multiArrayType.dataType == half
        # 100 + 16 - 1 positions, rounded up to a multiple of 32.
        states = {state.name: list(state.type.stateType.arrayType.shape) for state in function.state}
        assert states == {"k_cache": [2, 3, 128, 32], "v_cache": [2, 3, 128, 32]}
    assert int4.info.kv_cache_bytes == 2 * 2 * 3 * 128 * 32 * 2


def shapes(features: Any) -> dict[str, list[int]]:
    return {feature.name: list(feature.type.multiArrayType.shape) for feature in features}


def test_metadata_for_xcode_is_complete(int4: Lowered) -> None:
    for package in (VISION_ENCODER, TEXT_DECODER):
        spec = int4.spec(package)
        assert spec.specificationVersion == ct.target.iOS18.value
        description = spec.description
        metadata = description.metadata
        assert (metadata.author, metadata.versionString) == ("mobilevlm-kit", __version__)
        assert "licence" in metadata.license
        assert "of tiny: " in metadata.shortDescription
        facts = dict(metadata.userDefined)
        assert facts["org.mobilevlm.recipe"] == "int4"
        assert facts["org.mobilevlm.recipe.embedding"] == "int8"
        assert facts["org.mobilevlm.source_sha256"] == "f00d"
        for owner in (description, *description.functions):
            for feature in (*owner.input, *owner.output, *owner.state):
                assert feature.shortDescription, feature.name


def test_functions_share_one_set_of_weights(int4: Lowered) -> None:
    [weights] = (int4.folder / TEXT_DECODER).rglob("weight.bin")
    parameters = sum(parameter.numel() for parameter in int4.model.text_decoder.parameters())
    assert weights.stat().st_size < parameters * (0.5 + 2 / 32) + 60_000  # once, with RoPE's tables and blob headers


def test_the_info_is_plain_data_about_the_files(int4: Lowered) -> None:
    values = int4.info.to_json()
    files = [file for file in int4.folder.rglob("*") if file.is_file()]
    assert values["bytes"] == sum(file.stat().st_size for file in files)
    assert {file.relative_to(int4.folder).parts[0] for file in files} == {VISION_ENCODER, TEXT_DECODER, TOKEN_EMBEDDING}
    assert (int4.folder / values["file"]).is_file()
    assert (values["max_context"], values["prefill_chunk"], values["cache_positions"]) == (100, 16, 128)
    assert values["compute_units"] == "cpuAndGPU"
    assert values["verified_on_device"] is False
    assert set(values["versions"]) == {"coremltools", "torch", "torchao"}
    assert [done for _, done, _ in int4.stages] == [0, 1, 2, 3, 4, 5, 6]
    assert {(stage, total) for stage, _, total in int4.stages} == {("Core ML", 6)}


@pytest.mark.parametrize("scheme", ["fp32", "int8", "int4"])
def test_the_token_table_is_the_quantized_embedding(tmp_path: Path, scheme: str) -> None:
    made = lower(make_recipe("int4", embedding=scheme), tmp_path)
    weight: Any = made.model.token_embedding.weight
    expected = weight if scheme == "fp32" else weight.dequantize()
    torch.testing.assert_close(read_token_table(tmp_path / TOKEN_EMBEDDING), expected.float(), atol=0, rtol=0)


def test_the_model_is_not_changed(tmp_path: Path) -> None:
    model = random_model()
    quantize(model, RECIPES["int4"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lower_coreml(model, RECIPES["int4"], tmp_path, max_context=100, prefill_chunk=16)
    for name, value in model.state_dict().items():
        assert torch.equal(value.dequantize(), before[name].dequantize()), name


def test_a_cache_that_is_not_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    update = coreml_text_decoder._CacheState.update

    def forgetful(cache: Any, layer: int, new: Any) -> Any:
        if layer == 1:
            monkeypatch.setattr(coreml_text_decoder.mb, "coreml_update_state", lambda state, value: value)
        return update(cache, layer, new)

    monkeypatch.setattr(coreml_text_decoder._CacheState, "update", forgetful)
    with pytest.raises(LoweringError, match=r"^text_decoder\.mlpackage: prefill: got 2 of write_state, expected 4"):
        lower(RECIPES["int4"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def edit(made: Lowered, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """The text decoder's package saved again with its ``decode`` function changed."""
    spec = made.spec(TEXT_DECODER)
    [block] = spec.mlProgram.functions["decode"].block_specializations.values()
    change(block)
    [weights] = (made.folder / TEXT_DECODER).rglob("weight.bin")
    ct.utils.save_spec(spec, str(tmp_path / TEXT_DECODER), weights_dir=str(weights.parent))
    return tmp_path / TEXT_DECODER


def drop(kind: str) -> Callable[[Any], None]:
    def change(block: Any) -> None:
        del block.operations[next(index for index, op in enumerate(block.operations) if op.type == kind)]

    return change


def move_a_weight(block: Any) -> None:
    op = next(op for op in block.operations if op.type == "constexpr_blockwise_shift_scale")
    op.inputs["data"].arguments[0].value.blobFileValue.offset += 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("write_state"), "decode: got 3 of write_state, expected 4"),
        (drop("linear"), "decode: linears: got 13 of int4, expected 14"),
        (move_a_weight, "decode: got its own weights, expected those of prefill"),
    ],
)
def test_an_unexpected_saved_program_is_refused(
    int4: Lowered, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    expected = {name: ExpectedFunction({"write_state": 4}, LINEARS) for name in ("prefill", "decode")}
    check_package(int4.folder / TEXT_DECODER, expected, 1 << 20)
    with pytest.raises(LoweringError, match=message):
        check_package(edit(int4, tmp_path, change), expected, 1 << 20)


@pytest.mark.parametrize(
    ("expected", "limit", "message"),
    [
        (
            {"prefill": ExpectedFunction({}, LINEARS)},
            1 << 20,
            "got the functions decode, prefill, expected prefill",
        ),
        (
            dict.fromkeys(("prefill", "decode"), ExpectedFunction({}, {})),
            1 << 20,
            "got linears {'int4': 14, 'int8': 1}, expected {}",
        ),
        (dict.fromkeys(("prefill", "decode"), ExpectedFunction({}, LINEARS)), 1000, "expected at most 1000"),
    ],
)
def test_functions_forms_and_size_are_checked(
    int4: Lowered, expected: dict[str, ExpectedFunction], limit: int, message: str
) -> None:
    with pytest.raises(LoweringError, match=message):
        check_package(int4.folder / TEXT_DECODER, expected, limit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_context": 300},
            "max_context: got 300, expected more than the 4 tokens of an image and at most the model's 256",
        ),
        ({"max_context": 4}, "max_context: got 4"),
        ({"prefill_chunk": 1}, "prefill_chunk: got 1, expected 2 to the context of 100"),
        ({"cache_update": "scatter"}, "cache_update: got 'scatter', expected slice or one-hot"),
    ],
)
def test_invalid_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(LoweringError, match=message):
        lower(RECIPES["int4"], tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_one_hot_needs_head_widths_for_the_neural_engine(tmp_path: Path) -> None:
    model = random_model()
    model.config = dataclasses.replace(
        model.config, llm=dataclasses.replace(model.config.llm, num_heads=2, num_kv_heads=2)
    )  # 96 / 2 = 48 wide
    with pytest.raises(LoweringError, match="heads 48 wide, expected a multiple of 32"):
        lower_coreml(model, RECIPES["fp32"], tmp_path, cache_update="one-hot", max_context=100)


def test_a_model_that_is_not_quantized_as_the_recipe_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=r"vision\.layers\.0.*not quantized, expected the recipe's int8"):
        lower_coreml(random_model(), RECIPES["int4"], tmp_path)


def test_a_weight_beyond_float16_is_named(tmp_path: Path) -> None:
    model = random_model()
    quantize(model, RECIPES["int4"])
    model.text_decoder.layers[1].input_layernorm.weight[3] = 1e5
    with pytest.raises(LoweringError, match=r"layers_1_input_layernorm_weight: got values up to 1e\+05"):
        lower_coreml(model, RECIPES["int4"], tmp_path, max_context=100)
    assert list(tmp_path.iterdir()) == []


def test_a_feature_without_a_description_is_refused(int4: Lowered, tmp_path: Path) -> None:
    program = coreml_text_decoder.text_decoder_program(
        int4.model.text_decoder, coreml_text_decoder.DecoderShape(4, 32, "slice"), ("fp16", "fp16")
    )
    description = coreml_package.Description("summary", "licence", {"embeds": "embeddings"}, {})
    with pytest.raises(LoweringError, match="input_pos has no description"):
        coreml_package.write_package(program, description, tmp_path / TEXT_DECODER)
    assert list(tmp_path.iterdir()) == []


def test_integers_are_those_of_the_quantized_model(int4: Lowered) -> None:
    """The blob of the first weight, two int4 values per byte, equals torchao's."""
    weight: Any = int4.model.text_decoder.layers[0].self_attn.q_proj.weight
    packed = weight.qdata.numpy().astype(np.uint8) & 15
    packed = (packed.reshape(-1, 2)[:, 0] | (packed.reshape(-1, 2)[:, 1] << 4)).astype(np.uint8)
    [weights] = (int4.folder / TEXT_DECODER).rglob("weight.bin")
    assert packed.tobytes() in weights.read_bytes()


def test_a_float32_layer_among_quantized_ones_is_refused(tmp_path: Path) -> None:
    """It would be stored as float16, not as the recipe's float32."""
    model, recipe = random_model(), dataclasses.replace(RECIPES["int4"], llm_layers="1-1=fp32")
    quantize(model, recipe)
    with pytest.raises(LoweringError, match=r"^llm\.layers\.1\.self_attn\.q_proj: got fp32 in a part that is int4"):
        lower_coreml(model, recipe, tmp_path, max_context=100)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A limit on the file size makes writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    model = random_model()
    quantize(model, RECIPES["int4"])
    table, packages = tmp_path / "table", tmp_path / "packages"
    packages.mkdir()
    with _files_of_at_most(20_000), pytest.raises(LoweringError) as refused:
        write_token_table(model.token_embedding, table)
    assert str(refused.value).startswith(f"{table}: can't be written: ")
    with _files_of_at_most(20_000), pytest.raises(LoweringError) as refused:
        lower_coreml(model, RECIPES["int4"], packages, max_context=100)
    package = packages / "vision_encoder.mlpackage"
    assert str(refused.value) == f"{package}: its weights can't be written; is the disk full?"
    assert list(packages.iterdir()) == []
