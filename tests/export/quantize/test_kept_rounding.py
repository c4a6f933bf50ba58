"""An export that was interrupted while it calibrates continues, and gives the same weights."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import random_model
from torch import Tensor

from mobilevlm_export.dependencies.torchao_private import integers, is_quantized
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import model_parts, quantizable, quantize
from mobilevlm_export.quantize.kept_rounding import KeptRounding, kept_rounding
from mobilevlm_export.quantize.recipe import RECIPES


class Inputs:
    """Hessians made on the spot; the ``fail_at``-th one is interrupted."""

    description = "made on the spot"

    def __init__(self, model: MobileVLM, fail_at: int = 0) -> None:
        self.asked, self._model, self._fail_at = 0, model, fail_at

    def hessian(self, part: str, path: str) -> Tensor:
        self.asked += 1
        if self.asked == self._fail_at:
            raise KeyboardInterrupt
        columns = model_parts(self._model)[part].get_submodule(path).weight.shape[1]  # type: ignore[union-attr, index]
        rows = torch.randn(2 * columns, columns, generator=torch.Generator().manual_seed(self.asked and columns))
        return rows.T @ rows


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _calibrated(model: MobileVLM, fail_at: int = 0, kept: KeptRounding | None = None) -> tuple[list[Tensor], int]:
    """The integers of all weights, and how many were rounded."""
    quantized = copy.deepcopy(model)
    inputs = Inputs(quantized, fail_at)
    quantize(quantized, RECIPES["int4-all"], inputs=inputs, kept=kept)
    weights = [module.weight for part in model_parts(quantized).values() for _, module in quantizable(part)]
    return [integers(weight).clone() for weight in weights if is_quantized(weight)], inputs.asked


def test_an_interrupted_calibration_continues(tmp_path: Path) -> None:
    model = random_model()
    expected, linears = _calibrated(model)
    with pytest.raises(KeyboardInterrupt) as stop, kept_rounding("checkpoint", "recipe") as kept:
        _calibrated(model, 6, kept)
    assert stop.value.__notes__ == [
        "Interrupted: 5 calibrated weights are kept, and the same command continues from them."
    ]
    with kept_rounding("checkpoint", "other recipe") as other:
        assert _calibrated(model, kept=other)[1] == linears
    with kept_rounding("checkpoint", "recipe") as again:
        found, rounded = _calibrated(model, kept=again)
        assert (again.reused, rounded) == (5, linears - 5)
    for each, same in zip(found, expected, strict=True):
        assert torch.equal(each, same)
    assert not list(tmp_path.rglob("*.safetensors"))


def _damage(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        [last] = opened.read()
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([last ^ 1]))


@pytest.mark.parametrize(
    "harm",
    [_damage, lambda file: file.write_bytes(file.read_bytes()[:40]), lambda file: file.write_bytes(b""), Path.unlink],
)
def test_a_damaged_file_is_computed_again(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    model, kept = random_model(), KeptRounding(tmp_path / "kept")
    expected, _ = _calibrated(model, kept=kept)
    harm(next(kept.folder.glob("llm.*.safetensors")))
    found, rounded = _calibrated(model, kept=kept)
    assert rounded == 1
    for each, same in zip(found, expected, strict=True):
        assert torch.equal(each, same)


def test_integers_of_another_weight_are_not_reused(tmp_path: Path) -> None:
    model, kept = random_model(), KeptRounding(tmp_path / "kept")
    _, linears = _calibrated(model, kept=kept)
    changed = copy.deepcopy(model)
    changed.text_decoder.layers[1].mlp.down_proj.weight.data[0] *= 2
    assert 0 < _calibrated(changed, kept=kept)[1] < linears


def test_a_full_disk_does_not_stop_the_export(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where the folder would be")
    model, kept = random_model(), KeptRounding(tmp_path / "kept")
    assert _calibrated(model, kept=kept)[1] > 0
    assert kept.kept == 0


def test_what_nobody_came_back_for_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "mobilevlm-kit" / "calibration"
    for name, days in (("old", 20), ("new", 1)):
        (folder / name).mkdir(parents=True)
        then = (folder / name).stat().st_mtime - days * 24 * 3600
        os.utime(folder / name, (then, then))
    with kept_rounding("checkpoint"):
        pass
    assert [each.name for each in folder.iterdir()] == ["new"]
