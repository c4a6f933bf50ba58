"""The recommended recipe, the one for a budget, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.errors import OutputError, QuantizeError
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.quantize.recipe_file import read_recipe
from mobilevlm_export.quantize.report import shipped_bytes
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.sensitivity.assess import Assessment, chosen
from mobilevlm_host.sensitivity.budget import parse_bytes, propose
from mobilevlm_host.sensitivity.cautions import cautions
from mobilevlm_host.sensitivity.channels import Ratios
from mobilevlm_host.sensitivity.part_costs import Cost, Outliers, Sensitivity
from mobilevlm_host.sensitivity.recommend import recommend
from mobilevlm_host.sensitivity.results_file import ResultsFile
from mobilevlm_host.sensitivity.sensitivity_page import write_chart
from mobilevlm_host.sensitivity.time_plan import TimePlan, Timing, plan

COSTS = Sensitivity(
    (
        Cost("vision", "int8", 30, 1, 0.01, 0), Cost("projector", "int8", 3, 1, 0.001, 0),
        Cost("embedding", "int8", 6, 1, 0.002, 0), Cost("lm_head", "int4", 7, 1, 0.5, 0),
        Cost("llm 0-1", "int8", 60, 1, 0.02, 0), Cost("llm 0-1", "int4", 70, 1, 0.3, 0),
        Cost("llm 2-3", "int8", 60, 1, 0.02, 0), Cost("llm 2-3", "int4", 70, 1, 0.1, 0),
    ),
    samples=2, fp32_bytes=300,
    outliers=(
        Outliers("vision.layers.0.mlp.fc2", Ratios(2, 40), Ratios(2, 30)),
        Outliers("llm.layers.1.mlp.down_proj", Ratios(50, 3), Ratios(9, 3)),
        Outliers("lm_head", Ratios(2, 50), Ratios(2, 2)),
    ),
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


def stock(**kl: float) -> tuple[Cost, ...]:
    return tuple(
        Cost("lm_head", name.replace("_", "-"), 100 * at, 1, each, 0) for at, (name, each) in enumerate(kl.items())
    )


def test_the_smallest_recipe_within_the_limit_is_recommended() -> None:
    found = recommend(stock(int8=1e-4, int4=2e-3, int4_all=0.3))
    assert (found.cost.scheme, found.sound) == ("int4", True)
    worse = recommend(stock(int8=0.2, int4=0.4))
    assert (worse.cost.scheme, worse.sound) == ("int8", False)


def test_the_advice_says_what_a_recipe_costs() -> None:
    found = Assessment(COSTS, TimePlan(2, 4), 3, stock(int8=1e-4, int4=2e-3), ())
    assert found.advice == (
        "Take int4: 0.0 MB of weights, mean KL 0.002, 0 of 2 answers changed. "
        "It is the smallest recipe with a mean KL of at most 0.01."
    )
    worse = Assessment(COSTS, TimePlan(2, 4), 3, stock(int8=0.2, int4=0.4), ())
    assert worse.advice.startswith("No recipe has a mean KL of at most 0.01. int8 diverges least: ")
    assert worse.to_json()["recommended"] == {"recipe": "int8", "within_limit": False}


def test_cautions_say_where_and_what_to_do() -> None:
    first, second = cautions(COSTS.outliers)  # not of lm_head, which the rewrites cure
    assert first.line == (
        "vision.layers.0.mlp.fc2: its largest input channel is 30 times the median, so int8, and int4 more so, "
        "loses accuracy: --vision fp32"
    )
    assert second.line == (
        "llm.layers.1.mlp.down_proj: its largest weight column is 9 times the median, so int4 loses accuracy: "
        'llm_layers = "1-1=int8" in a recipe file'
    )


def test_the_same_linear_of_several_layers_is_one_caution() -> None:
    def middle(layer: int, times: float) -> Outliers:
        return Outliers(f"llm.layers.{layer}.mlp.down_proj", Ratios(1, 500), Ratios(1, times))

    found = [*(middle(layer, 16 + layer) for layer in (0, 1, 2, 5, 7)), middle(6, 3), middle(9, 30)]
    assert [each.line for each in cautions(found)] == [
        "llm.layers.9.mlp.down_proj: its largest input channel is 30 times the median, so int8, and int4 more so, "
        'loses accuracy: llm_layers = "9-9=fp32" in a recipe file',
        "llm.layers.0-2,5,7.mlp.down_proj: its largest input channel is 23 times the median, so int4 loses accuracy: "
        'llm_layers = "0-2=int8,5-5=int8,7-7=int8" in a recipe file',
    ]


def test_as_many_samples_as_fit() -> None:
    fast, slow = Timing(0.01, 0.01, 0.01), Timing(5, 10, 15)
    assert plan(fast, 1800, samples=32, images=64) == TimePlan(32, 64)
    some, more = (plan(slow, seconds, samples=32, images=64) for seconds in (3600, 7200))
    assert 1 < some.samples < more.samples < 32
    assert some.calibration_images < more.calibration_images < 64
    assert plan(slow, 60, samples=32, images=64) == TimePlan(1, 4)
    assert plan(slow, 60, samples=32, images=2) == TimePlan(1, 2)
    assert chosen(list("abcdefgh"), 3) == list("acf")  # type: ignore[comparison-overlap, arg-type]


def test_a_file_that_is_not_a_chart_is_not_replaced(tmp_path: Path) -> None:
    found = Assessment(COSTS, TimePlan(2, 4), 3, stock(int8=1e-4, int4=2e-3), tuple(cautions(COSTS.outliers)))
    write_chart(found, tmp_path / "a.html")
    write_chart(found, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert page.count('class="bar"') == len(COSTS.costs)
    assert page.count("<svg") == 2 + 4  # two charts, two lines in the legend of each
    assert "llm 2-3" in page
    assert "Measured over 2 of 3 samples; int4 weights were calibrated with 4 images." in page
    assert "its largest input channel is 30 times the median" in page
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(OutputError, match="isn't a sensitivity chart"):
        write_chart(found, tmp_path / "mine.html")
    assert [path.name for path in sorted(tmp_path.iterdir()) if path.suffix] == ["a.html", "mine.html"]


def test_the_command_proposes_a_recipe_of_the_reported_size(tiny_checkpoint: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.png")
    output = tmp_path / "small.toml"
    arguments = ["sensitivity", str(tiny_checkpoint), "--images", str(tmp_path), "-o", str(output), "--json"]
    fp32 = sum(shipped_bytes(weight) for weight in load_checkpoint(tiny_checkpoint).parameters())
    done = CliRunner().invoke(main, [*arguments, "--budget", f"{fp32 // 3}"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    recipe, proposal = read_recipe(output), found["proposal"]
    assert proposal["recipe"] == recipe.to_json()
    again = load_checkpoint(tiny_checkpoint)
    quantize(again, recipe)
    assert sum(shipped_bytes(weight) for weight in again.parameters()) == proposal["weight_bytes"] <= fp32 // 3
    assert list(found["stock_recipes"]) == [name for name in RECIPES if name != "fp32"]
    assert all(set(figures) == {"weight_bytes", "mean_kl", "flips"} for figures in found["stock_recipes"].values())
    assert found["recommended"]["recipe"] in found["stock_recipes"]
    assert (found["samples"], found["samples_given"], found["calibration_images"]) == (1, 1, 2)
    again_done = CliRunner().invoke(main, [*arguments, "--budget", "1MB"])
    assert again_done.exit_code == 2
    assert "expected the name of a new .toml file" in again_done.output


_SLOW = """
import time
from mobilevlm_export.quantize import calibration
from mobilevlm_host.sensitivity import results_file
calibration.MOST_IMAGES, put = 2, results_file.ResultsFile.put
def slow(self, name, value):
    put(self, name, value)
    print("put", name, flush=True)
    time.sleep(60 if name == "vision int4" else 0)
results_file.ResultsFile.put = slow
from mobilevlm_host.cli.mvlm import main
main()
"""


def test_a_killed_command_continues(tiny_checkpoint: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.png")
    arguments = ["sensitivity", str(tiny_checkpoint), "--images", str(tmp_path)]
    command = [sys.executable, "-c", _SLOW, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        assert any(line == "put vision int4\n" for line in process.stdout)
        process.kill()
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "Continuing from 5 results in " in done.stderr
    assert "Largest channel relative to the median" in done.stdout
    assert "Whole recipes, measured over 1 of 1 samples, calibrated with 2 images" in done.stdout


def test_an_interrupted_command_says_what_is_kept(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.png")
    put = ResultsFile.put

    def interrupted(self: ResultsFile, name: str, value: object) -> None:
        put(self, name, value)
        if name == "asked":
            raise KeyboardInterrupt

    monkeypatch.setattr(ResultsFile, "put", interrupted)
    done = CliRunner().invoke(main, ["sensitivity", str(tiny_checkpoint), "--images", str(tmp_path)])
    assert done.exit_code == 1
    assert "Interrupted: 2 results are kept, and the same command continues from them." in done.stderr
