"""``python -m mobilevlm_host.mil``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from coremltools.converters.mil import Builder as mb
from PIL import Image

from mobilevlm_host.mil.__main__ import main

from .saved import build, save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    inputs = [np.zeros((2, 3), np.float32), np.zeros(1, np.int32)]

    def body(x: Any, y: Any) -> Any:
        weight = np.arange(96, dtype=np.float32).reshape(32, 3)
        return mb.add(x=mb.linear(x=x, weight=weight), y=mb.cast(x=y, dtype="fp32"), name="sum")

    return save(tmp_path / "model.mlpackage", build(inputs, body))


def _run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_a_program_is_shown(model: Path) -> None:
    shown = _run(model)
    assert shown.exit_code == 0
    for line in ("weights: fp32 0.0 MB", "main (default)", "input   x0: fp32 [2, 3]", "input   x1: int32 [1]",
                 "output  sum: fp32 [2, 32]", "1 linear, 1 cast, 1 add"):  # fmt: skip
        assert line in shown.stdout
    found = json.loads(_run(model, "--json").stdout)
    assert found["weight_bytes"] == {"fp32": 96 * 4 + 32 * 4}
    assert found["functions"]["main"]["operations"] == {"linear": 1, "cast": 1, "add": 1}
    assert "outputs" not in found


def test_a_program_is_run(model: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.array([7], np.int32))
    inputs = ("--input", f"x0={tmp_path / 'x.npy'}", "--input", f"x1={tmp_path / 'y.npy'}")
    ran = _run(model, *inputs, "--output", tmp_path / "out.npz", "--json")
    assert ran.exit_code == 0, ran.output
    wanted = x @ np.arange(96, dtype=np.float32).reshape(32, 3).T + 7
    with np.load(tmp_path / "out.npz") as kept:
        assert np.allclose(kept["sum"], wanted, atol=1e-4)
    figures = json.loads(ran.stdout)["outputs"]["sum"]
    assert figures["shape"] == [2, 32]
    assert figures["max"] == pytest.approx(float(wanted.max()), abs=1e-3)
    again = _run(model, "--input", "x0=random", "--input", "x1=zeros")
    assert again.stdout == _run(model, "--input", "x0=random", "--input", "x1=zeros").stdout
    assert "sum [2, 32]: min" in again.stdout


def test_an_image_is_an_input(tmp_path: Path) -> None:
    path = save(
        tmp_path / "picture.mlpackage",
        build([np.zeros((4, 5, 3), np.float32)], lambda x: mb.reduce_max(x=x, axes=[0, 1], name="brightest")),
    )
    Image.new("RGBA", (5, 4), (10, 200, 30, 255)).save(tmp_path / "picture.png")
    ran = _run(path, "--input", f"x0={tmp_path / 'picture.png'}", "--json")
    assert json.loads(ran.stdout)["outputs"]["brightest"]["max"] == 200


def test_a_users_mistake_is_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_bytes(b"mine")
    (tmp_path / "not.npy").write_text("no array")
    for args, message in (
        ((tmp_path / "none.mlpackage",), "no such folder, expected a Core ML package"),
        ((model, "--function", "prefill"), "got no function 'prefill', expected one of main"),
        ((model, "--input", "x0=zeros"), "got no input 'x1', expected int32 [1]"),
        ((model, "--input", "x9=zeros"), "--input: got 'x9', expected one of x0, x1"),
        ((model, "--input", "x0"), "--input: got 'x0', expected NAME=VALUE"),
        ((model, "--input", f"x0={tmp_path / 'not.npy'}"), "expected a .npy file, an image, zeros or random"),
        ((model, "--input", f"x0={tmp_path / 'no.png'}"), "expected a .npy file, an image, zeros or random"),
        ((model, "--output", tmp_path / "out.npz"), "--output: got nothing to run"),
        ((model, "--input", "x0=zeros", "--output", tmp_path / "there.npz"), "already exists, expected a new file"),
    ):
        ran = _run(*args)
        assert ran.exit_code == 1
        assert ran.stderr.startswith("error: ")
        assert len(ran.stderr.splitlines()) == 1
        assert message in ran.stderr
    assert (tmp_path / "there.npz").read_bytes() == b"mine"
