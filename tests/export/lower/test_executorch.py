"""Lowered tiny models compute the same as eager ones, in ExecuTorch's own runtime and runner."""

from __future__ import annotations

import dataclasses
import errno
import functools
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from program_outputs import STEPS, WAYS, in_all_ways
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from unpacked import Greedy, Scaled, Shared, lower_module

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.quantize import apply
from mobilevlm_export.quantize.apply import model_parts, quantize
from mobilevlm_export.quantize.recipe import RECIPES, Recipe, make_recipe
from mobilevlm_export.quantize.report import shipped_bytes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ExecuTorch's own, while it is imported
    import executorch.kernels.quantized
    from executorch.exir.lowered_backend_module import get_lowered_backend_modules
    from executorch.extension.llm.runner import GenerationConfig, MultimodalRunner, make_image_input, make_text_input
    from executorch.runtime import Runtime

    from mobilevlm_export.lower import executorch as lowering
    from mobilevlm_export.lower.executorch import ArtifactInfo, lower_executorch
    from mobilevlm_export.lower.graph_checks import ExpectedMethod, check_method
    from mobilevlm_export.lower.partitioner import LevelPartitioner

assert executorch.kernels.quantized  # registers the embedding's kernels


VOCABULARY = 288  # bytes, control tokens and a few pieces


def tiny_model(layers: int = 2) -> MobileVLM:
    tiny = MobileVLMConfig.tiny()
    config = dataclasses.replace(
        tiny,
        vision=dataclasses.replace(tiny.vision, num_layers=2),
        llm=dataclasses.replace(tiny.llm, vocab_size=VOCABULARY, num_layers=layers),
    )
    torch.manual_seed(0)
    model = MobileVLM(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            nn.init.normal_(parameter, std=0.15)  # so that answers depend on the prompt
    return model


@dataclass(frozen=True)
class Lowered:
    model: MobileVLM
    info: ArtifactInfo
    program: Any
    stages: list[tuple[str, int, int]]

    def run(self, method: str, *inputs: Tensor) -> list[Any]:
        outputs = self.program.load_method(method).execute(inputs)
        return [output.clone() if isinstance(output, Tensor) else output for output in outputs]


@dataclass(frozen=True)
class AllAlike:
    """Inputs of the linears of ``model`` as if all were uncorrelated and of equal size."""

    model: MobileVLM
    description: str = "nothing"

    def hessian(self, part: str, path: str) -> Tensor:
        return torch.eye(model_parts(self.model)[part].get_submodule(path).in_features)  # type: ignore[arg-type]


def lower(recipe: Recipe, folder: Path, layers: int) -> Lowered:
    model = tiny_model(layers)
    quantize(model, recipe, inputs=AllAlike(model))
    stages: list[tuple[str, int, int]] = []
    info = lower_executorch(
        model,
        recipe,
        folder / "model.pte",
        max_context=64,
        max_prefill=24,
        progress=lambda stage, done, total: stages.append((stage, done, total)),
    )
    return Lowered(model, info, Runtime.get().load_program(info.file), stages)


@pytest.fixture(autouse=True)
def _the_same_inputs_in_any_order() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Lowered]:
    """The tiny model lowered with the recipe of each name, once."""

    @functools.cache
    def program(recipe: str) -> Lowered:
        return lower(RECIPES[recipe], tmp_path_factory.mktemp(recipe), layers=2 if recipe in ("fp32", "int4") else 1)

    return program


@pytest.fixture(scope="module")
def fp32(programs: Callable[[str], Lowered]) -> Lowered:
    return programs("fp32")


@pytest.fixture(scope="module")
def int4(programs: Callable[[str], Lowered]) -> Lowered:
    return programs("int4")


@pytest.fixture(params=RECIPES)
def lowered(request: pytest.FixtureRequest, programs: Callable[[str], Lowered]) -> Lowered:
    return programs(request.param)


@torch.inference_mode()
def test_vision_encoder_equals_eager(lowered: Lowered) -> None:
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8)
    outputs, model = lowered.run("vision_encoder", pixels), lowered.model
    for output, expected in zip(outputs, (model.vision_encoder(pixels), model.vision_features(pixels)), strict=True):
        difference = (output - expected).abs()
        # A last bit can round an activation to the next of 256 steps.
        assert difference.median() < 1e-3
        assert difference.norm() < 0.02 * expected.norm()


def test_rewrites_leave_operators_and_sizes_as_they_are(
    int4: Lowered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "_rewrite", lambda *_: None)
    plain = lower(RECIPES["int4"], tmp_path, layers=2).info
    assert int4.info.methods.keys() == plain.methods.keys()
    for name, method in int4.info.methods.items():
        assert method == plain.methods[name], name
    mlp = int4.model.vision_encoder.tower.layers[0].mlp
    slopes = mlp.fc1.out_features * 4 * len(int4.model.vision_encoder.tower.layers)  # type: ignore[union-attr, operator]
    assert 0 <= int4.info.bytes - plain.bytes <= slopes + 4096  # parts of the file are aligned


@torch.inference_mode()
def test_token_embedding_equals_eager(lowered: Lowered) -> None:
    for length in (1, 7, 24):
        ids = torch.randint(0, VOCABULARY, (1, length))
        [embeddings] = lowered.run("token_embedding", ids)
        torch.testing.assert_close(embeddings, lowered.model.token_embedding(ids))


@pytest.fixture(scope="module")
def outputs(programs: Callable[[str], Lowered]) -> dict[str, dict[str, list[Tensor]]]:
    """Of all recipes in one process, which takes longer to start than to compute."""
    return dict(zip(RECIPES, in_all_ways([programs(recipe).info.file for recipe in RECIPES]), strict=True))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "plain"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_outputs_are_equal_with_a_weights_cache(
    recipe: str, way: str, outputs: dict[str, dict[str, list[Tensor]]]
) -> None:
    """Bit for bit, with XNNPACK's weights cache, which frees a delegate's constants once it is compiled, in memory and in a file."""
    plain, cached = outputs[recipe]["plain"], outputs[recipe][way]
    assert len(plain) == len(cached) == 2 * 2 + 2 * STEPS
    for output, other in zip(plain, cached, strict=True):
        assert output.isfinite().all()
        assert output.std() > 0
        assert torch.equal(output, other)


@torch.inference_mode()
def test_prefill_in_chunks_and_decode_equal_the_whole_text(lowered: Lowered) -> None:
    embeds = lowered.model.token_embedding(torch.randint(0, VOCABULARY, (1, 64)))
    expected = lowered.model.text_decoder(embeds)
    decoder = lowered.program.load_method("text_decoder")
    position = 0
    for length in (24, 9, 1, 1, 24, 5):
        [logits] = decoder.execute((embeds[:, position : position + length].contiguous(), torch.tensor([position])))
        position += length
        assert logits.shape == (1, 1, VOCABULARY)
        if lowered.info.recipe.name == "fp32":
            torch.testing.assert_close(logits[0, 0], expected[0, position - 1], atol=1e-3, rtol=0)
        # Activations may be rounded the other way; the logits stay nearly the same.
        assert cosine_similarity(logits[0, 0], expected[0, position - 1], dim=0) > 0.999


@torch.inference_mode()
def test_a_new_text_overwrites_the_cache(fp32: Lowered) -> None:
    decoder = fp32.program.load_method("text_decoder")
    first, second = torch.randn(1, 20, 96), torch.randn(1, 6, 96)
    decoder.execute((first, torch.tensor([0])))
    [logits] = decoder.execute((second, torch.tensor([0])))
    torch.testing.assert_close(logits[0, 0], fp32.model.text_decoder(second)[0, -1], atol=1e-3, rtol=0)


def test_nothing_computes_outside_the_delegates(fp32: Lowered, int4: Lowered) -> None:
    for made in (fp32, int4):
        methods = made.info.methods
        assert methods["vision_encoder"].delegates == 1
        assert methods["vision_encoder"].outside == {"_to_copy": 1}
        # Before the first attention, between the two, after the second, and the head.
        assert methods["text_decoder"].delegates == 4
        assert methods["text_decoder"].outside == {
            "_local_scalar_dense": 1,
            "custom_sdpa": 2,
            "slice_copy": 3,
            "update_cache": 4,
        }
        # 7 a layer and lm_head; a mean for each of 5 norms; RoPE turns q and k of each layer.
        assert methods["text_decoder"].delegated["linear"] == 15 + 5 + 4
        # 6 a layer and 2 of LDPv2; a mean and a variance for each of 3 norms.
        assert methods["vision_encoder"].delegated["linear"] == 8 + 6
        assert methods["vision_encoder"].delegated["convolution"] == 2
        assert methods["vision_encoder"].delegated["bmm"] == 2
    # An activation is quantized once for all that read it: q, k and v; o; gate and up; down.
    assert int4.info.methods["text_decoder"].delegated["choose_qparams_affine"] == 2 * 4 + 1
    assert int4.info.methods["vision_encoder"].delegated["choose_qparams_affine"] == 4 + 2
    assert fp32.info.methods["text_decoder"].quantized_linears == 0
    assert int4.info.methods["text_decoder"].quantized_linears == 15
    assert int4.info.methods["vision_encoder"].quantized_linears == 8
    assert int4.info.methods["token_embedding"].outside == {"dequantize_affine": 1, "embedding": 1}


def test_int4_programs_are_small(fp32: Lowered, int4: Lowered) -> None:
    decoders = [made.info.methods["text_decoder"].delegate_bytes for made in (int4, fp32)]
    assert decoders[0] < 0.2 * decoders[1]
    assert int4.info.bytes < 0.5 * fp32.info.bytes


def test_constant_methods_give_the_runner_its_limits(fp32: Lowered) -> None:
    constants = {
        "get_max_seq_len": [24],
        "get_max_context_len": [64],
        "get_vocab_size": [VOCABULARY],
        "get_bos_id": [1],
        "get_eos_ids": [2],
        "use_kv_cache": [True],
        "use_sdpa_with_kv_cache": [True],
        "enable_dynamic_shape": [True],
    }
    assert {name: fp32.run(name) for name in constants} == constants


def test_artifact_info_is_plain_data(int4: Lowered) -> None:
    data = int4.info.to_json()
    assert data["file"] == "model.pte"
    assert data["bytes"] == int4.info.file.stat().st_size
    assert data["recipe"]["llm"] == "int4"
    assert (data["max_context"], data["max_prefill"]) == (64, 24)
    assert data["kv_cache_bytes"] == 2 * 2 * 64 * 96 * 4  # keys and values, layers, positions, width, float32
    assert set(data["versions"]) == {"executorch", "torch", "torchao"}
    assert list(dict.fromkeys(stage for stage, _, _ in int4.stages)) == ["export", "delegate", "emit"]
    assert [done for stage, done, total in int4.stages if stage == "delegate" and total == 5] == [0, 0, 1, 2, 3, 4, 5]
    assert list(int4.info.file.parent.iterdir()) == [int4.info.file]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    sentences = [
        f"what is the number of {colour} squares ? {count}" for colour in ("red", "blue") for count in range(50)
    ]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


@torch.inference_mode()
def test_the_multimodal_runner_answers_as_eager(fp32: Lowered, tokenizer: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    question = "red squares ?"
    pixels = torch.randint(0, 256, (3, 56, 56), dtype=torch.uint8)
    runner = MultimodalRunner(str(fp32.info.file), str(tokenizer), None)
    pieces: list[str] = []
    runner.generate(
        [make_text_input("what is"), make_image_input(pixels), make_text_input(question)],
        GenerationConfig(max_new_tokens=6, temperature=0, num_bos=1, echo=False),
        pieces.append,
    )
    expected = fp32.model.generate([[1, *processor.encode("what is")], pixels, processor.encode(question)], 6)
    assert processor.vocab_size() == VOCABULARY
    assert len(expected) == 6
    assert "".join(pieces) == "".join(processor.id_to_piece(token).replace("\u2581", " ") for token in expected)


def lower_linear(partitioner: LevelPartitioner) -> Any:
    class Method(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mlp = nn.Sequential(nn.Linear(32, 32), nn.Sigmoid(), nn.Sequential(nn.Linear(32, 32), nn.Tanh()))

        def forward(self, x: Tensor) -> Tensor:
            return self.mlp(x)

    return lower_module(Method(), partitioner).exported_program()


def leaving(partitioner: LevelPartitioner, operator: str) -> LevelPartitioner:
    """A copy of ``partitioner`` that leaves out ``operator`` of the module mlp.2."""
    config = partitioner.target_partitioner_configs[operator]
    takes: Callable[..., bool] = config.check_constraints
    config.check_constraints = lambda node, program: (
        "mlp.2" not in str(node.meta["nn_module_stack"]) and takes(node, program)
    )
    return partitioner


def test_a_linear_that_is_not_delegated_is_named() -> None:
    with pytest.raises(LoweringError, match=r"^linear of mlp\.2\.0: not supported by XNNPACK"):
        lower_linear(leaving(LevelPartitioner(), "linear.default"))


def test_an_operator_left_outside_is_named() -> None:
    expected = ExpectedMethod(outside={}, delegated={"linear": 2}, quantized_linears=0, max_delegate_bytes=10_000)
    assert check_method("method", lower_linear(LevelPartitioner()), expected).delegates == 1
    with pytest.raises(LoweringError, match=r"^method: tanh of mlp\.2\.1 was left outside the delegate"):
        check_method("method", lower_linear(leaving(LevelPartitioner(), "tanh.default")), expected)


def test_unpacked_constants_stay_outside_the_delegate() -> None:
    [delegate] = get_lowered_backend_modules(lower_module(Scaled(), LevelPartitioner()).exported_program().graph_module)
    inside = delegate.original_module.graph_signature.inputs_to_parameters
    assert sorted(inside.values()) == ["linear.bias", "linear.weight", "row"]


@pytest.mark.parametrize(
    ("module", "partitioner", "named"),
    [
        (
            Scaled(),
            Greedy(),
            r"^method: the constant scale is inside a delegate where mul of the method itself reads it",
        ),
        (Shared(), LevelPartitioner(), r"^method: the constant row is inside a delegate where add of"),
    ],
)
def test_an_unpacked_constant_in_a_delegate_is_named(
    module: nn.Module, partitioner: LevelPartitioner, named: str
) -> None:
    expected = ExpectedMethod(outside={}, delegated={"linear": 2}, quantized_linears=0, max_delegate_bytes=10_000)
    with pytest.raises(LoweringError, match=named):
        check_method("method", lower_module(module, partitioner).exported_program(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delegated": {"linear": 3}}, "got 2 delegated linear, expected 3"),
        ({"quantized_linears": 2}, "got 0 quantized linears, expected 2"),
        ({"max_delegate_bytes": 2000}, "weights are larger than the recipe makes them"),
        ({"outside": {"custom_sdpa": 1}}, "got 0 of custom_sdpa, expected 1"),
    ],
)
def test_a_method_that_is_not_as_expected_is_refused(change: dict[str, Any], message: str) -> None:
    expected = ExpectedMethod(outside={}, delegated={"linear": 2}, quantized_linears=0, max_delegate_bytes=10_000)
    with pytest.raises(LoweringError, match=message):
        check_method("method", lower_linear(LevelPartitioner()), dataclasses.replace(expected, **change))


@pytest.mark.parametrize(
    ("lengths", "named"),
    [
        ({"max_context": 512}, "max_context: got 512"),
        ({"max_context": 4}, "max_context: got 4"),
        ({"max_context": 64, "max_prefill": 65}, "max_prefill: got 65"),
        ({"max_prefill": 3}, "max_prefill: got 3"),
    ],
)
def test_invalid_lengths_are_refused(tmp_path: Path, lengths: dict[str, int], named: str) -> None:
    with pytest.raises(LoweringError, match=named):
        lower_executorch(tiny_model(), RECIPES["fp32"], tmp_path / "model.pte", **lengths)


def test_a_part_that_is_not_quantized_as_the_recipe_says_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowering, "_delegate", None)  # never reached
    model = tiny_model()
    quantize(model, make_recipe("int8", projector="fp32"))
    with pytest.raises(LoweringError, match=r"projector\.fc1: got a weight that is not quantized"):
        lower_executorch(model, RECIPES["int8"], tmp_path / "model.pte")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    class Program:
        def write_to_file(self, file: Any) -> None:
            file.write(b"half")
            raise error

    expected = LoweringError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="the disk is full" if isinstance(error, OSError) else None):
        lowering._write(Program(), tmp_path / "model.pte")
    assert list(tmp_path.iterdir()) == []


def test_the_text_decoder_has_exactly_these_operations(int4: Lowered) -> None:
    """In layers L. An additional operation slows down every token; a missing one is missing work."""
    layers = int4.model.config.llm.num_layers
    linears, norms = 7 * layers + 1, 2 * layers + 1
    assert int4.info.methods["text_decoder"].delegated == {
        "add": 2 * layers + 2 * layers + norms,  # residuals; RoPE of q and k; a norm's eps
        "choose_qparams_affine": 4 * layers + 1,  # once for q, k and v; o; gate and up; down; and the head
        "dequantize_affine": linears + 4 * layers + 1,  # weights; activations
        "linear": linears + norms + 2 * layers,  # the model's; means; RoPE's turns
        "mul": 3 * norms + 4 * layers + 2 * layers,  # norms; RoPE's cosines and sines; SiLU and its gate
        "quantize_affine": 4 * layers + 1,
        "rsqrt": norms,
        "sigmoid": layers,
        "view_copy": 4 * layers,  # heads of q, k and v; and back
    }


def test_the_vision_encoder_has_exactly_these_operations(int4: Lowered) -> None:
    layers = int4.model.config.vision.num_run_layers
    linears, norms = 6 * layers + 2, 2 * layers + 1
    assert int4.info.methods["vision_encoder"].delegated == {
        "_softmax": layers,
        "add": 2 * layers
        + 2 * norms
        + 3,  # residuals; a norm's eps and bias; pixels' shift, positions, LDPv2's residual
        "avg_pool2d": 1,
        "bmm": 2 * layers,
        "cat": 1,
        "choose_qparams_affine": 4 * layers + 2,
        "clone": layers,
        "convolution": 2,  # patches, LDPv2
        "dequantize_affine": linears + 4 * layers + 2,
        "gelu": 1,
        "linear": linears + 2 * norms,  # the model's; means and variances
        "mul": 3 * norms + layers + 2 * layers + 1,  # norms; q's scale; QuickGELU; pixels' scale
        "permute_copy": 5 * layers + 3,
        "quantize_affine": 4 * layers + 2,
        "rsqrt": norms,
        "sigmoid": layers,
        "slice_copy": 1,
        "sub": norms,
        "view_copy": 4 * layers + 4,
    }


def test_the_number_of_instructions(int4: Lowered) -> None:
    """The instructions of each call: each is overhead, and each delegate requires passing the whole activation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.exir._serialize._program import deserialize_pte_binary
        from executorch.exir.schema import DelegateCall, KernelCall

        plans = deserialize_pte_binary(int4.info.file.read_bytes()).program.execution_plan
    found = {}
    for plan in plans:
        calls = [step.instr_args for chain in plan.chains for step in chain.instructions]
        kernels = Counter(plan.operators[call.op_index].name for call in calls if isinstance(call, KernelCall))
        found[plan.name] = (sum(isinstance(call, DelegateCall) for call in calls), dict(kernels))
    layers = int4.model.config.llm.num_layers
    assert found["vision_encoder"] == (1, {"aten::_to_copy": 1})
    assert found["token_embedding"] == (0, {"quantized_decomposed::embedding_byte": 1})
    delegates, kernels = found["text_decoder"]
    assert delegates == layers + 2
    assert {name: count for name, count in kernels.items() if name.startswith("llama::")} == {
        "llama::update_cache": 2 * layers,
        "llama::custom_sdpa": layers,
    }
    assert kernels["aten::slice_copy"] == 3


def test_program_size_is_little_more_than_the_weights(int4: Lowered) -> None:
    """Decoding a token reads the decoder's delegates and the KV cache; a phone downloads the whole file."""
    shipped = {
        name: sum(shipped_bytes(parameter) for parameter in part.parameters())
        for name, part in (("text_decoder", int4.model.text_decoder), ("vision_encoder", int4.model.vision_encoder))
    }
    # int4 in groups of 32 is 4.5 bits a weight, lm_head has 8 bits and a scale a row, norms are float32.
    linears = sum(
        weight.numel() for name, weight in int4.model.text_decoder.layers.named_parameters() if "norm" not in name
    )
    head, norms = VOCABULARY * (96 + 4), 4 * 96 * (2 * 2 + 1)
    assert shipped["text_decoder"] == linears * 4.5 / 8 + head + norms
    for name, weights in shipped.items():
        # Beside the weights: a graph for each delegate, RoPE's turns, means and eps.
        assert weights < int4.info.methods[name].delegate_bytes < weights + 100_000, name
    embedding = shipped_bytes(int4.model.token_embedding.weight)
    assert sum(shipped.values()) + embedding < int4.info.bytes < sum(shipped.values()) + embedding + 250_000
