"""Parts quantized one at a time, and the recipe for a budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.errors import OutputError, QuantizeError
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.quantize.recipe_file import read_recipe
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.sensitivity.budget import parse_bytes, propose
from mobilevlm_host.sensitivity.part_costs import Cost, Samples, Sensitivity, components, recipe_of, weight_bytes
from mobilevlm_host.sensitivity.sensitivity_page import write_chart


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> MobileVLM:
    return load_checkpoint(tiny_checkpoint)


@pytest.fixture(scope="module")
def samples(model: MobileVLM, tiny_checkpoint: Path) -> Samples:
    shown = [Sample(color, Image.new("RGB", (80, 60), color), "What is this?") for color in ("red", "navy")]
    return Samples(model, Tokenizer(tiny_checkpoint / "tokenizer.model"), shown)


def test_a_recipe_without_quantization_costs_nothing(samples: Samples) -> None:
    cost = samples.cost("lm_head", RECIPES["fp32"])
    assert (cost.bytes_saved, cost.flips) == (0, 0)
    assert cost.mean_kl < 1e-9


def test_each_component_alone(samples: Samples, model: MobileVLM) -> None:
    assert list(components(model)) == ["vision", "projector", "embedding", "llm 0-0", "llm 1-1", "lm_head"]
    fp32 = weight_bytes(model)
    costs = {name: samples.cost(name, recipe_of(name, "int8")) for name in components(model)}
    assert all(cost.mean_kl > 1e-9 and 0.9 < cost.cosine < 1 and cost.bytes_saved > 0 for cost in costs.values())
    whole = samples.quantized(RECIPES["int8"])
    assert sum(cost.bytes_saved for cost in costs.values()) == fp32 - weight_bytes(whole)
    assert weight_bytes(model) == fp32  # the model itself is not changed
    coarse = samples.cost("llm 0-0", recipe_of("llm 0-0", "int4"))
    assert coarse.mean_kl > costs["llm 0-0"].mean_kl
    assert coarse.cosine < costs["llm 0-0"].cosine


def test_an_answer_counts_as_changed_where_greedy_decoding_differs(model: MobileVLM, samples: Samples) -> None:
    recipe = RECIPES["int4"]
    quantized = samples.quantized(recipe)
    flips = 0
    for each in samples._runs:
        given = quantized.generate([each.before, each.pixels, each.after], len(each.reference.answer) + 1)
        flips += given != each.reference.answer
    assert samples.cost("lm_head", recipe).flips == flips


COSTS = Sensitivity(
    (
        Cost("vision", "int8", 30, 1, 0.01, 0), Cost("projector", "int8", 3, 1, 0.001, 0),
        Cost("embedding", "int8", 6, 1, 0.002, 0), Cost("lm_head", "int4", 7, 1, 0.5, 0),
        Cost("llm 0-1", "int8", 60, 1, 0.02, 0), Cost("llm 0-1", "int4", 70, 1, 0.3, 0),
        Cost("llm 2-3", "int8", 60, 1, 0.02, 0), Cost("llm 2-3", "int4", 70, 1, 0.1, 0),
    ),
    samples=2, fp32_bytes=300,
)  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (300, ("fp32", "", "fp32", "fp32", "fp32", "fp32")),
        (297, ("fp32", "", "fp32", "fp32", "int8", "fp32")),
        (180, ("int8", "", "fp32", "fp32", "fp32", "fp32")),
        (141, ("int8", "", "fp32", "int8", "int8", "int8")),
        # 10 more: one layer group to int4 costs 0.08 more, lm_head 0.5.
        (131, ("int8", "2-3=int4", "fp32", "int8", "int8", "int8")),
        (114, ("int4", "", "int4", "int8", "int8", "int8")),
    ],
)
def test_the_least_kl_that_fits(budget: int, expected: tuple[str, ...]) -> None:
    found = propose(COSTS, budget, "small")
    assert (found.llm, found.llm_layers, found.lm_head, found.vision, found.projector, found.embedding) == expected


def test_an_impossible_budget_is_reported() -> None:
    with pytest.raises(QuantizeError, match=r"got 0\.0 MB, expected at least 0\.0 MB"):
        propose(COSTS, 113, "small")


@pytest.mark.parametrize(("text", "count"), [("900MB", 900_000_000), ("1.2 gb", 1_200_000_000), ("5000", 5000)])
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text) == count
    with pytest.raises(QuantizeError, match="expected a size like 900MB"):
        parse_bytes(text + "x")


def test_a_file_that_is_not_a_chart_is_not_replaced(tmp_path: Path) -> None:
    write_chart(COSTS, tmp_path / "a.html")
    write_chart(COSTS, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert page.count('class="bar"') == len(COSTS.costs)
    assert "llm 2-3" in page
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(OutputError, match="isn't a sensitivity chart"):
        write_chart(COSTS, tmp_path / "mine.html")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.html", "mine.html"]


def test_the_command_proposes_a_recipe_of_the_reported_size(
    tiny_checkpoint: Path, tmp_path: Path, model: MobileVLM
) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.png")
    output = tmp_path / "small.toml"
    arguments = ["sensitivity", str(tiny_checkpoint), "--images", str(tmp_path), "-o", str(output), "--json"]
    done = CliRunner().invoke(main, [*arguments, "--budget", f"{weight_bytes(model) // 3}"])
    assert done.exit_code == 0, done.output
    proposal = json.loads(done.stdout)["proposal"]
    recipe = read_recipe(output)
    assert proposal["recipe"] == recipe.to_json()
    again = load_checkpoint(tiny_checkpoint)
    quantize(again, recipe)
    assert weight_bytes(again) == proposal["weight_bytes"]
    assert proposal["weight_bytes"] <= weight_bytes(model) // 3
    assert list(proposal["stock_recipes"]) == [name for name in RECIPES if name != "fp32"]
    assert all(set(figures) == {"weight_bytes", "mean_kl", "flips"} for figures in proposal["stock_recipes"].values())
    again_done = CliRunner().invoke(main, [*arguments, "--budget", "1MB"])
    assert again_done.exit_code == 2
    assert "expected the name of a new .toml file" in again_done.output
