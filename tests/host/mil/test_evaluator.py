"""Running saved programs: rounding, states, functions, images, and programs from other conversions."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil import Program
from mobilevlm_host.mil import evaluator as running

from .saved import build, collected, save

STEPS, WIDTH = 6, 4
HALF = np.float16


def _cache_program() -> Any:
    """Writes x [1, 1, 4] at a position of a state [1, 6, 4], and gives the sum of what is kept."""

    @mb.program(
        input_specs=[
            mb.TensorSpec((1, 1, WIDTH), dtype=types.fp16),
            mb.TensorSpec((1,), dtype=types.int32),
            mb.StateTensorSpec((1, STEPS, WIDTH), dtype=types.fp16),
        ],
        opset_version=ct.target.iOS18,
    )
    def program(x: Any, position: Any, cache: Any) -> Any:
        old = mb.read_state(input=cache)
        ends = mb.add(x=position, y=np.int32(1))
        zero, one, width = np.int32([0]), np.int32([1]), np.int32([WIDTH])
        new = mb.slice_update(
            x=old,
            update=x,
            begin=mb.concat(values=[zero, position, zero], axis=0),
            end=mb.concat(values=[one, ends, width], axis=0),
        )
        kept = mb.coreml_update_state(state=cache, value=new)
        return mb.reduce_sum(x=kept, axes=[1], name="total")

    return program


def test_half_precision_is_rounded_after_each_operation(tmp_path: Path) -> None:
    x = np.array([[2049.0, 1.0, 0.1]], HALF)

    def body(x: Any) -> Any:
        return mb.mul(x=mb.add(x=mb.add(x=x, y=HALF(1)), y=HALF(-2048)), y=HALF(3), name="result")

    path = save(tmp_path / "half.mlpackage", build([x], body))
    half = Program.open(path).function().run({"x0": x})["result"]
    by_hand = ((x + HALF(1)).astype(HALF) + HALF(-2048)).astype(HALF) * HALF(3)
    assert half.dtype == torch.float16
    assert np.array_equal(half.numpy(), by_hand)
    wide = Program.open(path, "fp32").function().run({"x0": x})["result"]
    assert wide.dtype == torch.float32
    assert np.allclose(wide.numpy(), (x.astype(np.float32) + 1 - 2048) * 3)
    assert not np.allclose(wide.numpy(), by_hand)


def test_a_sum_is_rounded_once(tmp_path: Path) -> None:
    """Intermediate results within an operation aren't rounded: in fp16 this sum would stop at 2048."""
    x = np.ones((1, 4096), HALF)
    path = save(tmp_path / "sum.mlpackage", build([x], lambda x: mb.linear(x=x, weight=np.ones((2, 4096), HALF))))
    (total,) = Program.open(path).function().run({"x0": x}).values()
    assert total.tolist() == [[4096, 4096]]


def test_a_state_is_kept_between_calls_and_apart_from_others(tmp_path: Path) -> None:
    program = Program.open(save(tmp_path / "cache.mlpackage", _cache_program()))
    first, second = program.make_state(), program.make_state()
    rows = np.arange(3 * WIDTH, dtype=HALF).reshape(3, 1, 1, WIDTH)
    for at, row in enumerate(rows):
        total = program.function().run({"x": row, "position": [at]}, first)["total"]
    assert total.tolist() == [[12, 15, 18, 21]]
    assert first["cache"][0, :3].tolist() == rows[:, 0, 0].tolist()
    assert not first["cache"][0, 3:].any()
    assert not second["cache"].any()
    program.function().run({"x": rows[2], "position": [0]}, first)  # written over
    assert first["cache"][0, 0].tolist() == [8, 9, 10, 11]
    with pytest.raises(MilError, match=r"main: got no state 'cache', expected fp16 \[1, 6, 4\] from make_state"):
        program.function().run({"x": rows[0], "position": [0]})


def test_functions_share_weights_and_state(tmp_path: Path) -> None:
    """Two packages of one weight become the functions of one, as a decoder's prefill and decode are."""
    weight = np.random.default_rng(0).standard_normal((32, 32)).astype(HALF)
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, rows in (("prefill", 3), ("decode", 1)):
        inputs = [np.zeros((rows, 32), HALF)]
        part = save(tmp_path / f"{name}.mlpackage", build(inputs, lambda x: mb.linear(x=x, weight=weight, name="y")))
        descriptor.add_function(str(part), "main", name)
    descriptor.default_function_name = "decode"
    ct.utils.save_multifunction(descriptor, str(tmp_path / "both.mlpackage"))
    collected()
    program = Program.open(tmp_path / "both.mlpackage")
    assert program.functions == ("decode", "prefill")
    assert program.function().signature.name == "decode"
    assert program.package.weight_bytes() == {"fp16": 32 * 32 * 2 + 32 * 2}  # and a bias
    x = np.random.default_rng(1).standard_normal((3, 32)).astype(HALF)
    whole = program.function("prefill").run({"x0": x})["y"]
    rows = [program.function("decode").run({"x0": x[at : at + 1]})["y"] for at in range(3)]
    torch.testing.assert_close(whole, torch.cat(rows))
    torch.testing.assert_close(
        whole.float(), torch.tensor(x).float() @ torch.tensor(weight).float().T, atol=0.02, rtol=0
    )
    with pytest.raises(MilError, match="got no function 'main', expected one of decode, prefill"):
        program.function("main")


@pytest.mark.parametrize(("layout", "order"), [(ct.colorlayout.RGB, [0, 1, 2]), (ct.colorlayout.BGR, [2, 1, 0])])
def test_an_image_is_scaled_as_in_the_conversion(tmp_path: Path, layout: Any, order: list[int]) -> None:
    image = ct.ImageType(name="x0", shape=(1, 3, 5, 6), scale=1 / 127.5, bias=[-1, -0.5, 0], color_layout=layout)
    program = build([np.zeros((1, 3, 5, 6), np.float32)], lambda x: mb.relu(x=mb.add(x=x, y=np.float32(2)), name="y"))
    ct.convert(
        program, inputs=[image], convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32, skip_model_load=True, package_dir=str(tmp_path / "image.mlpackage"),
    )  # fmt: skip
    collected()
    function = Program.open(tmp_path / "image.mlpackage").function()
    assert function.signature.images["x0"].colors == ("RGB" if order[0] == 0 else "BGR")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    wanted = (pixels[..., order] / 127.5 + np.array([-1, -0.5, 0]) + 2).transpose(2, 0, 1)[None].astype(np.float32)
    assert np.allclose(function.run({"x0": pixels})["y"].numpy(), wanted, atol=1e-5)
    channels_first = pixels[..., order].transpose(2, 0, 1)[None]  # already in the program's order
    assert np.allclose(function.run({"x0": channels_first})["y"].numpy(), wanted, atol=1e-5)
    with pytest.raises(MilError, match=r"input 'x0': got the shape \[6, 5, 3\], expected fp32 \[1, 3, 5, 6\]"):
        function.run({"x0": pixels.transpose(1, 0, 2)})


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    inputs = [np.zeros((2, 3), np.float32), np.zeros(1, np.int32)]
    path = save(tmp_path / "two.mlpackage", build(inputs, lambda x, y: mb.add(x=x, y=mb.cast(x=y, dtype="fp32"))))
    function = Program.open(path).function()
    good = {"x0": torch.zeros(2, 3), "x1": torch.zeros(1, dtype=torch.int32)}
    assert function.run(good)
    for wrong, message in (
        ({"x0": torch.zeros(2, 3)}, r"two.mlpackage: main: got no input 'x1', expected int32 \[1\]"),
        (good | {"x2": torch.zeros(1)}, "got an input 'x2', expected x0, x1"),
        (good | {"x0": torch.zeros(3, 2)}, r"input 'x0': got the shape \[3, 2\], expected fp32 \[2, 3\]"),
        (good | {"x1": torch.zeros(1)}, r"input 'x1': got float32, expected int32 \[1\]"),
    ):
        with pytest.raises(MilError, match=message):
            function.run(wrong)


def test_unknown_operations_are_all_named_before_anything_runs(tmp_path: Path) -> None:
    x = np.zeros((1, 2, 4, 4), np.float32)

    def body(x: Any) -> Any:
        resized = mb.upsample_nearest_neighbor(x=x, scale_factor_height=2.0, scale_factor_width=2.0, name="bigger")
        return mb.pixel_unshuffle(x=mb.relu(x=resized), downscale_factor=np.uint32(2), name="smaller")

    program = Program.open(save(tmp_path / "odd.mlpackage", build([x], body)))
    expected = (
        r"operations that this evaluator doesn't support: upsample_nearest_neighbor bigger, pixel_unshuffle smaller"
    )
    with pytest.raises(MilError, match=expected):
        program.function()
    assert program.package.functions["main"].counts()["relu"] == 1  # it can be looked at all the same


def test_an_operation_with_another_shape_than_declared_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "relu.mlpackage", build([np.zeros((2, 3), np.float32)], lambda x: mb.relu(x=x, name="y")))
    monkeypatch.setitem(running.OPS, "relu", lambda x: x[:1])
    with pytest.raises(MilError, match=r"main: relu y: got the shape \[1, 3\], expected fp32 \[2, 3\]"):
        Program.open(path).function().run({"x0": np.zeros((2, 3), np.float32)})


def test_an_invalid_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mlpackage").mkdir()
    path = save(tmp_path / "good.mlpackage", build([np.zeros(2, np.float32)], lambda x: mb.relu(x=x)))
    model = path / "Data/com.apple.CoreML/model.mlmodel"
    for opened, message in (
        (tmp_path / "none.mlpackage", "none.mlpackage: no such folder, expected a Core ML package"),
        (tmp_path / "empty.mlpackage", "Manifest.json: can't be read, expected the manifest of a Core ML package"),
        (tmp_path / "fast.mlmodelc", "got a compiled model, expected the .mlpackage"),
    ):
        with pytest.raises(MilError, match=message):
            Program.open(opened)
    manifest = path / "Manifest.json"
    manifest.write_text(manifest.read_text().replace("com.apple.CoreML/model.mlmodel", "../../elsewhere.mlmodel"))
    (tmp_path / "elsewhere.mlmodel").write_bytes(model.read_bytes())
    with pytest.raises(MilError, match="expected a file inside the package"):
        Program.open(path)
    manifest.write_text(manifest.read_text().replace("../../elsewhere.mlmodel", "com.apple.CoreML/model.mlmodel"))
    model.write_bytes(b"\xff" * 40)
    with pytest.raises(MilError, match=r"model.mlmodel: can't be read .*, expected a Core ML model"):
        Program.open(path)


# Programs of others: converted by Core ML Tools from torch, with its own passes.


def _converted(path: Path, module: nn.Module, *inputs: Tensor, **options: Any) -> Path:
    exported = torch.export.export(module.eval(), inputs).run_decompositions({})
    ct.convert(
        exported, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18, skip_model_load=True,
        compute_precision=options.pop("precision", ct.precision.FLOAT16), package_dir=str(path), **options,
    )  # fmt: skip
    collected()
    return path


def _only(path: Path, x: Tensor, precision: Any = "fp16") -> Tensor:
    function = Program.open(path, precision).function()
    (name,) = function.signature.inputs
    (result,) = function.run({name: x}).values()
    return result.float()


class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.head = nn.Linear(8, 5)
        for norm in self.norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.norms[0](self.stem(x))), 3, 2, 1)
        inner = self.norms[2](self.second(functional.relu(self.norms[1](self.first(x)))))
        return self.head(functional.adaptive_avg_pool2d(functional.relu(inner + x), 1).flatten(1))


def test_a_residual_block_of_another_project(tmp_path: Path) -> None:
    torch.manual_seed(0)
    block, x = ResidualBlock(), torch.randn(1, 3, 32, 32)
    path = _converted(tmp_path / "resnet.mlpackage", block, x)
    wanted = block(x)
    torch.testing.assert_close(_only(path, x), wanted, atol=5e-3, rtol=5e-3)
    # the weights are fp16 in either mode
    torch.testing.assert_close(_only(path, x, "fp32"), wanted, atol=3e-3, rtol=3e-3)


def test_a_transformer_encoder_of_another_project(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True, norm_first=True)
    x = torch.randn(1, 10, 32)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.layer.self_attn.in_proj_weight.chunk(3)
            bias = self.layer.self_attn.in_proj_bias.chunk(3)
            normed = self.layer.norm1(x)
            heads = [
                functional.linear(normed, w, b).reshape(1, 10, 4, 8).transpose(1, 2)
                for w, b in zip((q, k, v), bias, strict=True)
            ]
            mixed = functional.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(1, 10, 32)
            x = x + self.layer.self_attn.out_proj(mixed)
            return x + self.layer.linear2(functional.gelu(self.layer.linear1(self.layer.norm2(x))))

    path = _converted(tmp_path / "encoder.mlpackage", Encoder(), x, precision=ct.precision.FLOAT32)
    assert "scaled_dot_product_attention" in Program.open(path).function().signature.counts()
    # against torch's own layer, not the one written out for the converter
    torch.testing.assert_close(_only(path, x, "fp32"), layer.eval()(x), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["int8", "int4 in blocks", "palette"])
def test_a_compressed_network_of_another_project(tmp_path: Path, method: str) -> None:
    from coremltools.optimize import coreml as opt

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 16))
    x = torch.randn(4, 64)
    exported = torch.export.export(network.eval(), (x,)).run_decompositions({})
    model = ct.convert(
        exported, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18, skip_model_load=True,
        compute_precision=ct.precision.FLOAT16,
    )  # fmt: skip
    if method == "palette":
        palette = opt.OpPalettizerConfig(
            nbits=4, mode="uniform", granularity="per_grouped_channel", group_size=8, weight_threshold=100
        )
        model = opt.palettize_weights(model, opt.OptimizationConfig(palette))
    elif method == "int8":
        linear = opt.OpLinearQuantizerConfig(mode="linear", dtype="uint8", weight_threshold=100)
        model = opt.linear_quantize_weights(model, opt.OptimizationConfig(linear))
    else:
        linear = opt.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=32, weight_threshold=100)
        model = opt.linear_quantize_weights(model, opt.OptimizationConfig(linear))
    model.save(str(tmp_path / "mlp.mlpackage"))
    # What the weights became, by Core ML Tools' own hand, in torch's network.
    weights = [
        each.materialized_val_inference()
        for each in _mil(tmp_path / "mlp.mlpackage").functions["main"].operations
        if each.op_type.startswith("constexpr_")
    ]
    collected()
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert len(weights) == len(layers)
    exact = network(x)
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.data = torch.tensor(weight.astype(np.float32))
    got, compressed = _only(tmp_path / "mlp.mlpackage", x), network(x)
    torch.testing.assert_close(got, compressed, atol=3e-3, rtol=3e-3)
    # it is the compressed one that ran
    assert 2 * (got - compressed).abs().mean() < (got - exact).abs().mean()


def _mil(path: Path) -> Any:
    from coremltools.converters.mil.frontend.milproto.load import load

    model = ct.models.MLModel(str(path), skip_model_load=True)
    return load(model.get_spec(), model.get_spec().specificationVersion, model.weights_dir)


class Accumulator(nn.Module):
    """A gated unit that keeps its hidden state between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.candidate = nn.Linear(24, 8), nn.Linear(24, 8)
        self.register_buffer("hidden", torch.zeros(1, 8, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x, self.hidden], -1)
        gate = torch.sigmoid(self.gate(both))
        self.hidden[:] = (gate * self.hidden + (1 - gate) * torch.tanh(self.candidate(both))).half()
        return self.hidden * 2.0


def test_a_recurrent_unit_of_another_project(tmp_path: Path) -> None:
    torch.manual_seed(0)
    unit = Accumulator().half().requires_grad_(False)

    @mb.program(
        input_specs=[mb.TensorSpec((1, 16), dtype=types.fp16), mb.StateTensorSpec((1, 8), dtype=types.fp16)],
        opset_version=ct.target.iOS18,
    )
    def program(x: Any, hidden: Any) -> Any:
        old = mb.read_state(input=hidden)
        both = mb.concat(values=[x, old], axis=-1)
        gates = [
            mb.linear(x=both, weight=layer.weight.half().numpy(), bias=layer.bias.half().numpy())
            for layer in (unit.gate, unit.candidate)
        ]
        gate, candidate = mb.sigmoid(x=gates[0]), mb.tanh(x=gates[1])
        left = mb.mul(x=mb.sub(x=HALF(1), y=gate), y=candidate)
        new = mb.coreml_update_state(state=hidden, value=mb.add(x=mb.mul(x=gate, y=old), y=left))
        return mb.mul(x=new, y=HALF(2), name="y")

    saved = Program.open(save(tmp_path / "unit.mlpackage", program, passes=ct.PassPipeline.DEFAULT))
    state = saved.make_state()
    for _ in range(5):
        x = torch.randn(1, 16).half()
        torch.testing.assert_close(saved.function().run({"x": x}, state)["y"], unit(x), atol=4e-3, rtol=4e-3)
    torch.testing.assert_close(state["hidden"], unit.hidden, atol=2e-3, rtol=2e-3)
    assert unit.hidden.abs().max() > 0.1


def test_weights_are_decompressed_again_when_the_cache_is_full() -> None:
    calls: list[int] = []

    def decompress(size: int) -> Tensor:
        calls.append(size)
        return torch.zeros(size, dtype=torch.float16)

    weights = running.WeightCache(room=100)
    for _ in range(3):
        for size in (30, 40, 10):  # 60, 80 and 20 bytes
            assert len(weights.get(size, lambda size=size: decompress(size))) == size
    assert calls == [30, 40, 10, 40, 40]


def test_only_some_weights_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight compressed layers run with at most two of their weights decompressed; with a cache, all stay in memory."""
    layers, width = 8, 64
    random = np.random.default_rng(0)
    data = [random.integers(-128, 128, (width, width)).astype(np.int8) for _ in range(layers)]

    def body(x: Any) -> Any:
        for each in data:
            weight = mb.constexpr_blockwise_shift_scale(data=each, scale=np.full((width, 1), 0.01, HALF))
            x = mb.tanh(x=mb.linear(x=x, weight=weight))
        return x

    x = np.ones((1, width), HALF)
    path = save(tmp_path / "deep.mlpackage", build([x], body))
    collected()
    alive = [0, 0]  # bytes now, and at most
    decompress = running.CONSTEXPR["constexpr_blockwise_shift_scale"]

    def freed(size: int) -> None:
        alive[0] -= size

    def counted(**parts: Tensor) -> Tensor:
        weight = decompress(**parts)
        size = weight.numel() * weight.element_size()
        alive[0] += size
        alive[1] = max(alive)
        weakref.finalize(weight, freed, size)
        return weight

    monkeypatch.setitem(running.CONSTEXPR, "constexpr_blockwise_shift_scale", counted)
    monkeypatch.setattr(running, "_require_known", lambda signature, where: None)
    one = width * width * 2
    lazy = Program.open(path, cache_bytes=0).function().run({"x0": x})
    assert one <= alive[1] <= 2 * one
    assert alive[0] == 0
    kept_by = Program.open(path)
    kept = kept_by.function().run({"x0": x})
    assert alive[0] == layers * one
    assert [each.tolist() for each in kept.values()] == [each.tolist() for each in lazy.values()]
