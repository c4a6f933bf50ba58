"""Layers are measured in the program that ships, and those that changed places in it are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from mobilevlm_export import pipeline
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import ParityError
from mobilevlm_export.job import ExportJob
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.engines.executorch import ExecuTorchMethods, load_methods
from mobilevlm_host.parity.check import check_parity
from mobilevlm_host.parity.layers import measure_layers
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.parity.tap import write_tapped


def test_the_opened_program_computes_what_the_shipped_one_does(
    model: MobileVLM, bundle: Bundle, samples: list[Sample], tmp_path: Path
) -> None:
    tapped = tmp_path / "tapped.pte"
    write_tapped(bundle.artifact("executorch"), tapped, len(model.vision_encoder.tower.layers), 4)
    pixels = torch.randint(0, 256, (1, 3, 168, 168), dtype=torch.uint8)
    methods = load_methods(tapped, ("vision_encoder", "text_decoder"))
    embeds, features, *states = methods["vision_encoder"](pixels)
    shipped = ExecuTorchMethods(bundle)
    assert all(torch.equal(*pair) for pair in zip(shipped.vision_encoder(pixels), (embeds, features), strict=True))
    assert torch.equal(states[-1][:, 1:], features)
    logits = methods["text_decoder"](embeds, torch.tensor([0]))[0]
    assert torch.equal(logits[0, -1], shipped.text_decoder(embeds, 0))
    layers = measure_layers(model, Tokenizer(DEMO_CHECKPOINT / "tokenizer.model"), bundle, samples)
    assert [layer.name for layer in layers if not layer.passed] == []
    assert len(layers) == 1 + 5 + 4
    assert all(layer.metrics["added_snr_db"] < 60 for layer in layers[1:])  # int8 and int4 are really what ran
    with pytest.raises(ParityError, match="layers: got 5 that can be told apart in vision_encoder, expected 6"):
        write_tapped(bundle.artifact("executorch"), tapped, 6, 4)


@pytest.mark.parametrize("part", ["vision_encoder", "text_decoder"])
def test_swapped_layers_of_a_real_bundle_are_named(
    part: str, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> MobileVLM:
        model = load_checkpoint(*args, **options)
        layers = model.vision_encoder.tower.layers if part == "vision_encoder" else model.text_decoder.layers
        layers[0], layers[1] = layers[1], layers[0]
        return model

    monkeypatch.setattr(pipeline, "load_checkpoint", broken)
    with export_bundle(ExportJob(tiny_checkpoint, tmp_path / "broken.mvlm", RECIPES["fp32"])) as bundle:
        report = check_parity(tiny_checkpoint, bundle, layers=True)
    assert report.first_divergence == ("vision_encoder" if part == "vision_encoder" else "prefill")
    assert report.first_layer == f"{part}.layers.0"
    wrong = [layer.name for layer in report.layers if not layer.passed]
    assert wrong == [f"{part}.layers.0", f"{part}.layers.1"]


def test_layers_of_a_bundle_for_core_ml_alone_are_refused_before_any_work(
    tiny_checkpoint: Path, tiny_coreml_bundle: Bundle, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    arguments = ("parity", str(tiny_checkpoint), str(tiny_coreml_bundle.path), "--layers", "--report", str(report))
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    refusal = f"Error: {tiny_coreml_bundle.path}: got artifacts for coreml, expected executorch"
    assert done.stderr.splitlines()[-1] == refusal
    assert not report.exists()
