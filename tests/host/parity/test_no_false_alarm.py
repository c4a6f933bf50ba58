"""Sound bundles of every recipe pass parity; with a limit that none could hold they don't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT, DEMO_SAMPLES
from mobilevlm_export.job import ExportJob
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.parity import thresholds
from mobilevlm_host.parity.check import check_parity


@pytest.mark.thorough  # each exports the demo
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "int4"])
def test_a_sound_bundle_passes(name: str, tmp_path: Path) -> None:
    with export_bundle(ExportJob(DEMO_CHECKPOINT, tmp_path / "sound.mvlm", RECIPES[name])) as bundle:
        report = check_parity(DEMO_CHECKPOINT, bundle, images=DEMO_SAMPLES)
    assert report.first_divergence is None
    assert report.samples >= 5


def test_a_sound_int4_bundle_passes_unless_the_limit_is_absurd(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_parity(DEMO_CHECKPOINT, bundle, images=DEMO_SAMPLES).first_divergence is None
    absurd = replace(thresholds.VISION["int8"], value=1000)
    monkeypatch.setitem(thresholds.VISION, "int8", absurd)
    assert check_parity(DEMO_CHECKPOINT, bundle, images=DEMO_SAMPLES).first_divergence == "vision_encoder"
