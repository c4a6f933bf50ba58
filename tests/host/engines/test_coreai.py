"""Core AI's programs, run as their twins by Apple's runtime: equal to the torch model, and what can't run is one line."""

from __future__ import annotations

import gc
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from coreai.authoring import AIProgram
from PIL import Image
from tiny import PROJECTORS, random_model
from torch import Tensor, nn
from torch.export import ExportedProgram

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.resolve import resolve_checkpoint
from mobilevlm_export.config import LlamaConfig
from mobilevlm_export.demo.built_in import DEMO
from mobilevlm_export.dependencies import coreai_private
from mobilevlm_export.dependencies.torchao_private import is_quantized, scales
from mobilevlm_export.errors import DependencyError, LoweringError, RunnerError
from mobilevlm_export.lower.coreai import TEXT_DECODER, TOKEN_EMBEDDING, VISION_ENCODER, lower_coreai
from mobilevlm_export.lower.coreai_twin import read_listing, write_twin
from mobilevlm_export.lower.token_table import read_token_table
from mobilevlm_export.model import MobileVLM, mobilellama
from mobilevlm_export.model.mobilellama import Attention, rope_tables
from mobilevlm_export.model.vision_encoder import VisionAttention
from mobilevlm_export.pixels import preprocess
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.engines.coreai import CoreAIMethods, LoadedProgram, load_twin, open_coreai
from mobilevlm_host.records.golden import read_golden

SHOWS = "It can't show float16 on Apple's chips"
LAYERS, VISION_LAYERS = 2, 2


@pytest.fixture(scope="module")
def methods(tiny_coreai_bundle: Bundle) -> CoreAIMethods:
    return CoreAIMethods(tiny_coreai_bundle)


@pytest.fixture(scope="module")
def in_halves() -> MobileVLM:
    """The quantized model with every float rounded to float16, as the bundle's programs hold them, computing in float32."""
    model = random_model()
    quantize(model, RECIPES["int4"])
    for parameter in model.parameters():
        if is_quantized(parameter):
            scales(parameter).copy_(scales(parameter).half().float())
        elif parameter is not model.token_embedding.weight:
            parameter.data = parameter.data.half().float()
    dequantized(model)
    for layer in [*model.vision_encoder.tower.layers, *model.text_decoder.layers]:
        half_scale(layer.self_attn)
    for layer in model.vision_encoder.tower.layers:
        layer.mlp.slope = torch.as_tensor(layer.mlp.slope).half().float()
    return model


def half_tables(config: LlamaConfig, length: int) -> tuple[Tensor, Tensor]:
    """RoPE's tables rounded to float16."""
    cos, sin = rope_tables(config, length)
    return cos.half().float(), sin.half().float()


def half_scale(attention: VisionAttention | Attention) -> None:
    """Let ``attention`` scale its products by 1 / √K rounded to float16, as Core AI's operator does."""
    exact = torch.tensor(1 / math.sqrt(attention.head_dim))
    for parameter in attention.q_proj.parameters():
        parameter *= exact.half().float() / exact


def dequantized(model: MobileVLM) -> MobileVLM:
    """``model`` with plain weights instead of integers: no activation is quantized."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if is_quantized(parameter):
                module.register_parameter(name, nn.Parameter(parameter.dequantize(), requires_grad=False))
    return model


def decibels(got: Tensor, expected: Tensor) -> float:
    noise = (got.double() - expected.double()).pow(2).mean()
    return 10 * math.log10(expected.double().pow(2).mean() / max(float(noise), 1e-300))


def test_the_twin_computes_what_the_model_does(methods: CoreAIMethods, in_halves: MobileVLM) -> None:
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    embeddings, features = methods.vision_encoder(pixels)
    expected = in_halves.vision_features(pixels)
    assert decibels(features, expected) > 100
    assert decibels(embeddings, in_halves.vision_encoder.projector(expected)) > 100


@pytest.mark.parametrize("cuts", [(150,), (64, 64, 22), (65, 1, 84), (1, 148, 1)])
def test_a_prompt_may_be_cut_anywhere(
    methods: CoreAIMethods, in_halves: MobileVLM, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mobilellama, "rope_tables", half_tables)
    embeds = torch.randn(1, 150, 96, generator=torch.Generator().manual_seed(1))
    expected = in_halves.text_decoder(embeds)[0]
    own, position = methods.with_own_cache(), 0
    for part in embeds.split(cuts, dim=1):
        logits = own.text_decoder(part, position)
        position += part.shape[1]
        assert decibels(logits, expected[position - 1]) > 100


def test_the_twin_has_the_programs_operators_and_integers(tiny_coreai_bundle: Bundle, tmp_path: Path) -> None:
    for name, integers in ((VISION_ENCODER, {"int8": 0}), (TEXT_DECODER, {"int4": 0, "int8": 340 * 96})):
        program = read_listing(tiny_coreai_bundle.path / name)
        write_twin(tiny_coreai_bundle.path / name, tmp_path / name)
        twin = read_listing(tmp_path / name)
        assert "f16" in program.text
        assert "xf16" not in twin.text
        assert _all_but_casts(twin.operators) == _all_but_casts(program.operators)
        assert twin.integers == program.integers
        assert set(program.integers) == set(integers)
        made = tiny_coreai_bundle.manifest.values["artifacts"]["coreai"][name.removesuffix(".aimodel")]
        assert made["integers"] == program.integers
    assert program.integers["int8"] == 340 * 96
    assert program.integers["int4"] == LAYERS * (4 * 96 * 96 + 3 * 96 * 192)
    assert program.operators["coreai.slice_update"] == 2 * LAYERS


def test_no_integer_of_a_program_becomes_text(
    tiny_coreai_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, types = coreai_private.read_program(tiny_coreai_bundle.path / TEXT_DECODER), []

    def recorded(constant: Any) -> bytes:
        types.append(str(constant.results[0].type).rpartition("x")[2])
        return array_of(constant)

    array_of = coreai_private.array_of
    monkeypatch.setattr(coreai_private, "array_of", recorded)
    monkeypatch.setattr(type(program), "__str__", lambda _: pytest.fail("the whole program became text"))
    write_twin(tiny_coreai_bundle.path / TEXT_DECODER, tmp_path / TEXT_DECODER)
    assert set(types) == {"f16>"}
    assert '"0x' not in read_listing(tmp_path / TEXT_DECODER).text


def test_a_programs_conversion_is_freed_before_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds every weight once more."""
    alive, save = [], AIProgram.save_asset

    def conversions() -> int:
        # Not isinstance, which asks every object for its class: some warn.
        return sum(type(each) is ExportedProgram for each in gc.get_objects())

    def recorded(program: AIProgram, path: Path, **given: Any) -> Any:
        alive.append(conversions())
        return save(program, path, **given)

    monkeypatch.setattr(AIProgram, "save_asset", recorded)
    model = random_model()
    quantize(model, RECIPES["int4"])
    before = conversions()  # of other tests
    lower_coreai(model, RECIPES["int4"], tmp_path, max_context=100)
    assert len(alive) == 2
    assert max(alive) <= before


def _all_but_casts(operators: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in operators.items() if name != "coreai.cast"}


def test_the_program_itself_runs_in_float16(tiny_coreai_bundle: Bundle, methods: CoreAIMethods) -> None:
    """Too slowly for more than this: a picture, a prompt and two tokens."""
    vision, text = (LoadedProgram(tiny_coreai_bundle.path / name) for name in (VISION_ENCODER, TEXT_DECODER))
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    embeddings, features = methods.vision_encoder(pixels)
    found = vision.run({"pixels": pixels})
    assert found["features"].dtype == torch.float16
    assert decibels(found["features"], features) > 40
    assert decibels(found["image_embeddings"], embeddings) > 40
    own, states, end = methods.with_own_cache(), text.make_states(), 0
    assert {state.dtype.lower() for state in states.values()} == {"float16"}
    for part in torch.randn(1, 12, 96, generator=torch.Generator().manual_seed(1)).split((10, 1, 1), dim=1):
        expected = own.text_decoder(part, end)
        end += part.shape[1]
        given = {"embeds": part.half(), "position_ids": torch.arange(end, dtype=torch.int32)[None]}
        assert decibels(text.run(given, states)["logits"].flatten(), expected) > 40


@pytest.mark.parametrize("projector_type", PROJECTORS)
def test_float32_programs_compute_what_the_model_does(tmp_path: Path, projector_type: str) -> None:
    model = random_model(projector_type=projector_type)
    info = lower_coreai(model, RECIPES["fp32"], tmp_path, max_context=100)
    assert info.types == {"vision_encoder": "fp32", "text_decoder": "fp32"}
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    found = load_twin(tmp_path / VISION_ENCODER).run({"pixels": pixels})
    assert decibels(found["features"], model.vision_features(pixels)) > 100
    assert decibels(found["image_embeddings"], model.vision_encoder(pixels)) > 100
    text = load_twin(tmp_path / TEXT_DECODER)
    embeds = torch.randn(1, 20, 96, generator=torch.Generator().manual_seed(1))
    given = {"embeds": embeds, "position_ids": torch.arange(20, dtype=torch.int32)[None]}
    logits = text.run(given, text.make_states())["logits"].flatten()
    assert decibels(logits, model.text_decoder(embeds)[0, -1]) > 100


@pytest.mark.thorough
def test_the_demo_answers_with_the_quantized_models_ids(demo_for_all_backends: Bundle) -> None:
    model = load_checkpoint(resolve_checkpoint(DEMO))
    quantize(model, RECIPES["int4"])
    dequantized(model)
    with Runner(demo_for_all_backends, backend="coreai") as runner:
        golden = read_golden(demo_for_all_backends)
        assert len(golden) == 3
        for _, picture, record in golden:
            prompt = [record.ids_before_image, preprocess(picture, model.config), record.ids_after_image]
            expected = model.generate(prompt, record.max_new_tokens)
            assert runner.answer_ids(picture, record.question, record.max_new_tokens) == expected


@pytest.mark.thorough
def test_the_demos_float16_program_gives_a_whole_answer(demo_for_all_backends: Bundle) -> None:
    """The shortest golden answer, by the programs that ship."""
    bundle = demo_for_all_backends
    vision, text = (LoadedProgram(bundle.path / name) for name in (VISION_ENCODER, TEXT_DECODER))
    table = read_token_table(bundle.path / TOKEN_EMBEDDING)
    _, picture, record = min(read_golden(bundle), key=lambda found: len(found[2].answer_ids or ()))
    image = vision.run({"pixels": preprocess(picture, bundle.config)[None]})["image_embeddings"]
    assert image.dtype == torch.float16
    before, after = (table[list(ids)][None].half() for ids in (record.ids_before_image, record.ids_after_image))
    embeds, states, end, answer = torch.cat([before, image, after], dim=1), text.make_states(), 0, []
    for _ in range(record.max_new_tokens):
        end += embeds.shape[1]
        given = {"embeds": embeds, "position_ids": torch.arange(end, dtype=torch.int32)[None]}
        token = int(text.run(given, states)["logits"].flatten().argmax())
        if token == bundle.config.eos_id:
            break
        answer.append(token)
        embeds = table[[token]][None].half()
    assert tuple(answer) == record.answer_ids


def test_another_process_writes_the_same_bytes(
    tiny_coreai_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    code = "from mobilevlm_host.cli.mvlm import main; main()"
    command = ["export", str(tiny_checkpoint), "-o", str(tmp_path / "again.mvlm"), "--backend", "coreai", "--no-golden"]
    subprocess.run([sys.executable, "-c", code, *command, "--calibration", "none"], capture_output=True, check=True)
    for asset in (VISION_ENCODER, TEXT_DECODER):
        files = sorted(file.name for file in (tiny_coreai_bundle.path / asset).iterdir())
        assert files == ["main.hash", "main.mlirb", "metadata.json"]
        for name in files:
            once, again = (path / asset / name for path in (tiny_coreai_bundle.path, tmp_path / "again.mvlm"))
            assert once.read_bytes() == again.read_bytes(), f"{asset}/{name}"


def test_the_manifest_claims_no_device(tiny_coreai_bundle: Bundle) -> None:
    made = tiny_coreai_bundle.manifest.values["artifacts"]["coreai"]
    assert made["verified_on_device"] is False
    assert made["experimental"] is True
    assert made["types"] == {"vision_encoder": "fp16", "text_decoder": "fp16"}
    assert made["versions"]["coreai-core"] == "1.0.0b3"
    assert made["cache_positions"] < 2048


def test_ask_and_parity_say_what_computed(tiny_coreai_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70, 90), (200, 30, 60)).save(tmp_path / "a.png")
    command = [
        "ask",
        str(tiny_coreai_bundle.path),
        str(tmp_path / "a.png"),
        "What is this?",
        "--max-new-tokens",
        "5",
        "--json",
    ]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["backend"], answer["engine"]) == ("coreai", "coreai")
    assert SHOWS in answer["shows"]
    assert len(answer["token_ids"]) == 5
    done = CliRunner().invoke(
        main, ["parity", str(tiny_checkpoint), str(tiny_coreai_bundle.path), "--images", str(tmp_path), "--json"]
    )
    assert SHOWS in done.stdout
    assert {"vision_encoder", "prefill", "answer"} <= set(json.loads(done.stdout)["stages"])


def test_threads_are_refused(tiny_coreai_bundle: Bundle) -> None:
    with pytest.raises(RunnerError, match="threads: got 2, expected none with Core AI"):
        open_coreai(tiny_coreai_bundle, threads=2)


def test_golden_records_are_checked_with_the_backend_named(tiny_coreai_bundle: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coreai_bundle.path, tmp_path / "copy.mvlm")
    assert CliRunner().invoke(main, ["golden", str(folder)]).exit_code == 0
    checked = ["golden", str(folder), "--check", "--json", "--backend"]
    done = CliRunner().invoke(main, [*checked, "coreai"])
    assert done.exit_code == 0, done.stderr
    assert {found["backend"] for found in json.loads(done.stdout)["checked"].values()} == {"coreai"}
    done = CliRunner().invoke(main, [*checked, "executorch"])
    assert done.exit_code == 1
    assert "got artifacts for coreai, expected executorch" in done.stderr
    done = CliRunner().invoke(main, ["golden", str(folder), "--backend", "coreai"])
    assert done.exit_code == 2
    assert "give it with --check alone" in done.stderr


def test_too_long_a_prompt_is_one_line(methods: CoreAIMethods) -> None:
    with pytest.raises(RunnerError, match=r"text_decoder.aimodel: got 1 tokens at position 256, expected at most 256"):
        methods.text_decoder(torch.zeros(1, 1, 96), 256)


def test_a_state_that_is_too_long_for_iphones_is_refused(tmp_path: Path) -> None:
    model = random_model()
    llm = replace(model.config.llm, max_position_embeddings=2048)
    model.config = replace(model.config, llm=llm)
    with pytest.raises(LoweringError, match="max_context: got 2048, expected at most 2015 with Core AI"):
        lower_coreai(model, RECIPES["fp32"], tmp_path, max_context=2048)
    assert not list(tmp_path.iterdir())


def test_a_damaged_program_is_one_line(tiny_coreai_bundle: Bundle, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_coreai_bundle.path, tmp_path / "copy.mvlm")
    program = folder / TEXT_DECODER / "main.mlirb"
    program.write_bytes(program.read_bytes()[:1000])
    with pytest.raises(RunnerError, match=r"text_decoder.aimodel: Core AI can't load it"):
        CoreAIMethods(Bundle(folder, tiny_coreai_bundle.manifest))


def test_other_versions_are_one_line(
    tiny_coreai_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreai_private, "VERSIONS", MappingProxyType({"coreai-core": "1.0.0b9"}))
    message = r"coreai-core: got 1.0.0b3, expected 1.0.0b9: pip install 'mobilevlm-kit\[coreai\]'"
    with pytest.raises(DependencyError, match=message):
        CoreAIMethods(tiny_coreai_bundle)
    done = CliRunner().invoke(
        main, ["export", str(tiny_checkpoint), "-o", str(tmp_path / "x.mvlm"), "--backend", "coreai"]
    )
    assert done.exit_code == 1
    assert "coreai-core: got 1.0.0b3" in done.stderr
    assert not list(tmp_path.iterdir())
