"""Weights that the engine's cache takes for one another are found: phones, which have it on, would answer wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from program_outputs import WAYS, in_all_ways
from tiny import random_model

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower import executorch as lowering
from mobilevlm_export.lower.ambiguous_weights import require_distinct_weights
from mobilevlm_export.lower.executorch import lower_executorch
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.engines.packed_writer import write_packed

FOUND = r"text_decoder: got weights with the same integers and other scales, expected weights that"


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose second layer has the matrices of the first one, doubled: the same integers."""
    model, recipe = random_model(), RECIPES["int8"]
    weights = dict(model.text_decoder.named_parameters())
    first = [name for name in weights if name.startswith("layers.0.") and "norm" not in name]
    assert len(first) == 7
    with torch.no_grad():
        for name in first:
            weights[name.replace(".0.", ".1.", 1)].copy_(2 * weights[name])
    quantize(model, recipe)
    path = tmp_path_factory.mktemp("doubled") / "model.pte"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "require_distinct_weights", lambda program: None)
        lower_executorch(model, recipe, path, max_context=64, max_prefill=24)
    return path


@pytest.mark.slow
def test_the_cache_takes_them_for_one_another(doubled: Path) -> None:
    """Once ExecuTorch is fixed, they need not be refused."""
    [outputs] = in_all_ways([doubled])
    equal = [all(map(torch.equal, outputs["plain"], outputs[way])) for way in WAYS]
    assert equal == [True, False, False, False]


def test_they_are_refused(doubled: Path, tmp_path: Path) -> None:
    with pytest.raises(LoweringError, match=rf"model\.pte: {FOUND}"):
        require_distinct_weights(doubled)
    with pytest.raises(LoweringError, match=FOUND):
        write_packed(doubled, tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


def test_no_program_is_written_with_them(doubled: Path, tmp_path: Path) -> None:
    class Program:
        def write_to_file(self, file: Any) -> None:
            file.write(doubled.read_bytes())

    with pytest.raises(LoweringError, match=rf"{tmp_path}/new\.pte: {FOUND}") as caught:
        lowering._write(Program(), tmp_path / "new.pte")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_equal_weights_with_equal_scales_are_fine(tiny_bundle: Bundle) -> None:
    require_distinct_weights(tiny_bundle.artifact("executorch"))


def test_what_is_no_program_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.pte").write_bytes(b"no program")
    with pytest.raises(LoweringError, match=r"model\.pte: got .*, expected an ExecuTorch program"):
        require_distinct_weights(tmp_path / "model.pte")
