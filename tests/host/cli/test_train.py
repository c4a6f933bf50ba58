"""``mvlm train``: options reach the stage, mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.train import stage
from mobilevlm_host.cli.mvlm import main


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    return result.exit_code, result.output


@pytest.mark.parametrize("command", [(), ("demo",), ("stage1",), ("stage2",)])
def test_help_has_examples(command: tuple[str, ...]) -> None:
    code, output = _run(*command, "--help")
    assert code == 0
    assert "mvlm train" in output.split("Examples:")[1]


def test_stage_trains_with_its_options(checkpoint: Path, data: Path, images: Path, tmp_path: Path) -> None:
    places = ("--data", data, "--images", images, "--checkpoint", checkpoint, "-o", tmp_path / "out")
    code, output = _run("stage1", *places, "--steps", 3, "--batch-size", 2, "--fp32", "--workers", 0)
    assert code == 0, output
    assert "3 steps, the last loss" in output
    assert load_checkpoint(tmp_path / "out").config.name == "tiny"


def test_a_stage_takes_any_checkpoint_that_other_commands_take(data: Path, images: Path, tmp_path: Path) -> None:
    places = ("--data", data, "--images", images, "-o", tmp_path / "out")
    code, output = _run("stage2", *places, "--checkpoint", "demo", "--steps", 1, "--batch-size", 1, "--workers", 0)
    assert code == 0, output
    assert load_checkpoint(tmp_path / "out").config.name == "MobileVLM_V2-demo"
    code, output = _run("stage2", *places, "--checkpoint", tmp_path / "absent")
    assert code == 1
    assert (
        output.strip()
        .splitlines()[-1]
        .endswith("expected a checkpoint, a model id like mtgv/MobileVLM_V2-1.7B, or demo")
    )


def test_an_interrupted_run_says_how_it_continues(
    checkpoint: Path, data: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ("--data", data, "--images", images, "--checkpoint", checkpoint, "-o", tmp_path / "out")
    command = ("stage1", *places, "--steps", 3, "--batch-size", 2, "--fp32", "--workers", 0)
    gradients, calls = stage._gradients, iter(range(9))

    def interrupted(*arguments: Any) -> float:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return gradients(*arguments)

    monkeypatch.setattr(stage, "_gradients", interrupted)
    code, output = _run(*command)
    assert code == 1
    kept = tmp_path / "out.state"
    assert f"Stopped. Progress is saved in {kept}; run the same command again to continue." in output
    monkeypatch.undo()
    code, output = _run(*command)
    assert code == 0, output
    assert "1 steps, the last loss" in output
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out", "out.log"]


def test_malformed_entry_is_one_line(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}]))
    code, output = _run(
        "stage2", "--data", data, "--images", images, "--checkpoint", checkpoint, "-o", tmp_path / "out"
    )
    assert code == 1
    message = f"Error: {data}: entry 0: conversations[0].from: got 'gpt', expected 'human'"
    assert output.strip().splitlines()[-1] == message
    assert not (tmp_path / "out").exists()
