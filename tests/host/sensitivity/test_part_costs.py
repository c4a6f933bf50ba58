"""Components quantized one at a time."""

from __future__ import annotations

import copy
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import random_model

from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import KNOBS, RECIPES, Recipe
from mobilevlm_export.quantize.report import shipped_bytes
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.sensitivity.cautions import cautions
from mobilevlm_host.sensitivity.components import STOCK, Components, components, covering, recipe_of
from mobilevlm_host.sensitivity.data_path import Asked, DataPath
from mobilevlm_host.sensitivity.fp32_answers import Fp32Answers, asked
from mobilevlm_host.sensitivity.part_costs import Cost, Measurement, Sensitivity
from mobilevlm_host.sensitivity.results_file import ResultsFile


@pytest.fixture(scope="module")
def measured(parts: Components, questions: list[Asked], tmp_path_factory: pytest.TempPathFactory) -> Sensitivity:
    return Measurement(parts, questions, ResultsFile(tmp_path_factory.mktemp("results") / "a.json")).sensitivity()


def by_name(sensitivity: Sensitivity) -> dict[tuple[str, str], Cost]:
    return {(cost.component, cost.scheme): cost for cost in sensitivity.costs}


def whole_bytes(model: MobileVLM) -> int:
    return sum(shipped_bytes(weight) for weight in model.parameters())


def quantized(model: MobileVLM, recipe: Recipe) -> MobileVLM:
    copied = copy.deepcopy(model)
    quantize(copied, recipe)
    return copied


def test_every_scheme_of_every_knob_is_made() -> None:
    made = {(knob, getattr(recipe, knob)) for recipe in covering() for knob in KNOBS}
    assert made == {(knob, scheme) for knob, schemes in KNOBS.items() for scheme in schemes[1:]}
    assert covering()[0] == RECIPES["int4"]


def test_layer_groups() -> None:
    assert list(components(2)) == ["vision", "projector", "embedding", "llm 0-0", "llm 1-1", "lm_head"]
    assert list(components(24))[3:-1] == ["llm 0-5", "llm 6-11", "llm 12-17", "llm 18-23"]


@pytest.mark.parametrize(
    ("projector_type", "place"), [("ldpnet", "projector.mix.project"), ("mlp2x_gelu", "projector.linears.1")]
)
def test_other_projectors_are_measured_too(
    tmp_path: Path, tiny_checkpoint: Path, projector_type: str, place: str
) -> None:
    model, tokenizer = random_model(projector_type=projector_type), Tokenizer(tiny_checkpoint / "tokenizer.model")
    sample = Sample("red", Image.new("RGB", (80, 60), "red"), "What is this?")
    [answer] = Fp32Answers(model, tokenizer).ask([sample])
    parts = Components(model, lambda copied, recipe: quantize(copied, recipe))
    results = ResultsFile(tmp_path / "a.json")
    found = Measurement(parts, [asked(model, tokenizer, sample, answer)], results).sensitivity()
    cost = by_name(found)["projector", "int8"]
    assert 0.99 < cost.cosine < 1
    linears = [module for module in model.vision_encoder.projector.modules() if isinstance(module, torch.nn.Linear)]
    assert cost.bytes_saved == sum(3 * each.weight.numel() - 4 * each.out_features for each in linears)
    assert place in {each.place for each in found.outliers}


@torch.inference_mode()
def test_samples_of_different_lengths_run_together(model: MobileVLM, parts: Components, questions: list[Asked]) -> None:
    path = DataPath(parts, questions, lambda: None)
    for schemes, whole in (({}, model), (parts.schemes(RECIPES["int8"]), quantized(model, RECIPES["int8"]))):
        logits = path.run(schemes).outputs["lm_head"]
        for found, each in zip(logits, questions, strict=True):
            embeds = whole.embed([each.before, each.pixels, each.after + each.greedy_ids[:-1]])
            expected = whole.text_decoder(embeds)[0, -len(each.greedy_ids) :]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_model_in_half_precision_computes_in_float32(model: MobileVLM, questions: list[Asked]) -> None:
    half = copy.deepcopy(model).half()
    same = copy.deepcopy(half).float()
    outputs = [
        DataPath(Components(each, quantize), questions, lambda: None).run({"projector": "int8"}).outputs["lm_head"]
        for each in (half, same)
    ]
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(weight.dtype == torch.float16 for weight in half.parameters())


def test_each_component_alone(measured: Sensitivity, model: MobileVLM, parts: Components) -> None:
    costs, fp32 = by_name(measured), whole_bytes(model)
    assert measured.fp32_bytes == fp32
    int8 = [costs[name, "int8"] for name in parts.knobs]
    assert all(cost.mean_kl > 1e-9 and 0.9 < cost.cosine < 1 and cost.bytes_saved > 0 for cost in int8)
    assert sum(cost.bytes_saved for cost in int8) == fp32 - whole_bytes(quantized(model, RECIPES["int8"]))
    assert costs["llm 0-0", "int4"].mean_kl > costs["llm 0-0", "int8"].mean_kl
    assert costs["llm 0-0", "int4"].cosine < costs["llm 0-0", "int8"].cosine
    alone = whole_bytes(quantized(model, recipe_of("vision", "int4")))
    assert costs["vision", "int4"].bytes_saved == fp32 - alone


def test_an_answer_counts_as_changed_where_greedy_decoding_differs(
    model: MobileVLM, parts: Components, questions: list[Asked], tmp_path: Path
) -> None:
    recipe = RECIPES["int8"]
    whole, flips = quantized(model, recipe), 0
    for each in questions:
        answer = each.greedy_ids[: each.answered]
        given = whole.generate([each.before, each.pixels, each.after], each.answered)
        flips += given != [token for token in answer if token != model.config.eos_id]
    [cost] = Measurement(parts, questions, ResultsFile(tmp_path / "a.json")).recipes([recipe])
    assert cost.flips == flips


def test_whole_recipes_save_what_they_save(
    model: MobileVLM, parts: Components, questions: list[Asked], tmp_path: Path
) -> None:
    costs = Measurement(parts, questions, ResultsFile(tmp_path / "a.json")).recipes(STOCK)
    assert [cost.scheme for cost in costs] == [recipe.name for recipe in STOCK]
    expected = [whole_bytes(model) - whole_bytes(quantized(model, recipe)) for recipe in STOCK]
    assert [cost.bytes_saved for cost in costs] == expected


def test_planted_outliers_are_named(model: MobileVLM, questions: list[Asked], tmp_path: Path) -> None:
    planted = copy.deepcopy(model)
    layer = planted.text_decoder.layers[1]
    layer.input_layernorm.weight[5] *= 80  # the rewrites cure this
    for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
        linear.weight[:, 5] /= 80
    planted.vision_encoder.projector.fc1.weight[3] *= 300  # not this: GELU is in between
    planted.vision_encoder.projector.fc1.bias[3] *= 300
    results = ResultsFile(tmp_path / "a.json")
    found = Measurement(Components(planted, quantize), questions, results).sensitivity().outliers
    ratios = {each.place: each for each in found}
    assert list(ratios)[:4] == [
        f"vision.layers.0.{name}" for name in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
    ]
    assert list(ratios)[-1] == "lm_head"
    norm, middle = ratios["llm.layers.1.self_attn.q_proj"], ratios["projector.fc2"]
    assert norm.published.activations > 20
    assert norm.rewritten.activations < 8
    assert middle.published.activations > 30
    assert middle.rewritten.activations > 30
    caution = next(each for each in cautions(found) if each.scheme == "int8")
    assert norm.place not in [each.place for each in cautions(found)]
    assert (caution.place, caution.remedy) == ("projector.fc2", "--projector fp32")
    assert "int8, and int4 more so, loses accuracy: --projector fp32" in caution.line


def test_what_was_measured_is_not_measured_again(
    parts: Components, questions: list[Asked], measured: Sensitivity, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    stopped = Measurement(parts, questions, ResultsFile(path), progress=interrupt_after(32))
    with pytest.raises(KeyboardInterrupt):
        stopped.sensitivity()
    kept = ResultsFile(path).measured
    assert 1 < kept < len(measured.costs)
    again = Measurement(parts, questions, ResultsFile(path))
    assert again.sensitivity() == measured
    assert ResultsFile(path).measured == 1 + len(measured.costs)
    nothing = Measurement(parts, [], ResultsFile(path))
    assert nothing.sensitivity().costs == measured.costs


def interrupt_after(count: int) -> Any:
    def progress(stage: str, done: int, total: int) -> None:
        assert done <= total
        if done == count:
            raise KeyboardInterrupt

    return progress


def test_a_damaged_file_of_results_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"plan": ')
    results = ResultsFile(tmp_path / "a.json")
    assert results.measured == 0
    results.put("plan", 1)
    assert ResultsFile(tmp_path / "a.json").get("plan") == 1


def test_results_belong_to_their_subject() -> None:
    one, other = ResultsFile.of("checkpoint", b"pixels"), ResultsFile.of("checkpoint", b"others")
    assert one.path != other.path
    assert one.path == ResultsFile.of("checkpoint", b"pixels").path


def test_weights_are_freed_as_they_are_quantized(model: MobileVLM) -> None:
    half, alive = copy.deepcopy(model).half(), []

    def quantizer(copied: MobileVLM, recipe: Recipe) -> None:
        replaced = [weakref.ref(linear.weight) for linear in copied.modules() if isinstance(linear, torch.nn.Linear)]
        quantize(copied, recipe)
        alive.append(sum(each() is not None for each in replaced))

    Components(half, quantizer).layers("lm_head", "int8")
    assert alive == [0] * len(covering())
