"""Lowering holds the weights only twice, original and packed, and leaves XNNPACK unchanged afterwards."""

from __future__ import annotations

import dataclasses
import gc
import sys
import warnings
from pathlib import Path

import pytest

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.free_memory import trim
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.quantize.report import shipped_bytes
from mobilevlm_host.bench.measurement import memory_bytes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ExecuTorch's own, while it is imported
    from executorch.backends.xnnpack import xnnpack_preprocess
    from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend

    from mobilevlm_export.dependencies.xnnpack_private import lean_xnnpack
    from mobilevlm_export.lower.executorch import lower_executorch


def wide_model() -> MobileVLM:
    """Two layers of the 1.7B's widths and little else: 100 million weights, quantized."""
    tiny = MobileVLMConfig.tiny()
    llm = dataclasses.replace(
        tiny.llm, hidden_size=2048, intermediate_size=5632, num_layers=2, num_heads=16, num_kv_heads=16
    )
    projector = dataclasses.replace(tiny.projector, hidden_size=2048)
    model = MobileVLM(dataclasses.replace(tiny, llm=llm, projector=projector)).eval()
    quantize(model, RECIPES["int4"])
    return model


def resident() -> int:
    gc.collect()
    trim()
    return memory_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell only the most that was ever resident")
def test_lowering_holds_the_packed_weights_and_no_other_copy(tmp_path: Path) -> None:
    """A weight takes a byte until packed, then half a byte more; graphs and imports take about 45 MB."""
    model = wide_model()
    weights = sum(parameter.numel() for parameter in model.parameters())
    packed = sum(shipped_bytes(parameter) for parameter in model.parameters())
    before, most = resident(), 0

    def watch(stage: str, done: int, total: int) -> None:
        nonlocal most
        most = max(most, resident() - before)

    lower_executorch(model, RECIPES["int4"], tmp_path / "model.pte", max_context=64, max_prefill=24, progress=watch)
    assert packed < most < packed + weights
    del model
    assert resident() < before  # nothing holds the original or packed weights anymore


def test_xnnpack_is_restored_afterwards() -> None:
    def changed() -> tuple[object, object]:
        return xnnpack_preprocess.XNNPACKPassManager, XnnpackBackend.copy_exported_program_for_preprocess

    before = changed()
    with lean_xnnpack(lambda: None):
        assert all(one != another for one, another in zip(changed(), before, strict=True))
    assert changed() == before
