"""Faults injected into saved Core ML programs, as a converter or a disk would make them, are named in their own stage."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO, DEMO_CHECKPOINT
from mobilevlm_export.job import ExportJob
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.pipeline import export_bundle
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.mil.protos import model_pb2
from mobilevlm_host.parity.check import default_samples
from mobilevlm_host.parity.run_sample import Sample
from mobilevlm_host.parity.stages import ParityReport, compare

INSIDE = "Data/com.apple.CoreML"
VISION, TEXT = "vision_encoder.mlpackage", "text_decoder.mlpackage"


@pytest.fixture(scope="module")
def coreml_bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """The demo model in int4, the recipe with the widest limits."""
    output = tmp_path_factory.mktemp("coreml") / "demo.mvlm"
    with export_bundle(ExportJob(DEMO, output, RECIPES["int4"], backends=("coreml",))) as bundle:
        yield bundle


@pytest.fixture
def copy(coreml_bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle(shutil.copytree(coreml_bundle.path, tmp_path / "copy.mvlm"), coreml_bundle.manifest)


class Saved:
    """A saved package, open to be spoiled; ``weights`` is its weight file."""

    def __init__(self, bundle: Bundle, package: str) -> None:
        folder = bundle.path / package / INSIDE
        self._model, self.weights = folder / "model.mlmodel", folder / "weights/weight.bin"
        self.spec = model_pb2().Model()
        self.spec.ParseFromString(self._model.read_bytes())

    def block(self, function: str) -> Any:
        program = self.spec.mlProgram.functions[function]
        return program.block_specializations[program.opset]

    def operations(self, name: str) -> list[Any]:
        """Those called ``name``, one in each function that has it; further functions append a number."""
        return [
            operation
            for function in self.spec.mlProgram.functions
            for operation in self.block(function).operations
            if operation.outputs and re.fullmatch(rf"{name}(_\d+)?", operation.outputs[0].name)
        ]

    def blobs(self, weight: str, part: str) -> list[Any]:
        """Where the part (``data`` or ``scale``) of a quantized weight lies, once for each function."""
        return [each.inputs[part].arguments[0].value.blobFileValue for each in self.operations(weight)]

    def write(self) -> None:
        self._model.write_bytes(self.spec.SerializeToString())


def _scale(bundle: Bundle, package: str, weight: str, factor: float) -> None:
    """Multiply the scales of one quantized weight."""
    saved = Saved(bundle, package)
    raw = bytearray(saved.weights.read_bytes())
    at = saved.blobs(weight, "scale")[0].offset
    size, begin = (int(each) for each in np.frombuffer(raw[at + 8 : at + 24], np.uint64))
    scales = np.frombuffer(raw[begin : begin + size], np.float16)
    raw[begin : begin + size] = (scales * np.float16(factor)).tobytes()
    saved.weights.write_bytes(raw)


def _swap(bundle: Bundle, package: str, first: str, second: str) -> None:
    """Let each of two weights stand where the other belongs."""
    saved = Saved(bundle, package)
    for part in ("data", "scale"):
        for one, other in zip(saved.blobs(first, part), saved.blobs(second, part), strict=True):
            one.offset, other.offset = other.offset, one.offset
    saved.write()


def _drop_writes(bundle: Bundle, function: str, count: int) -> None:
    """Compute with the new keys and values, but don't keep the first ``count`` of them: what conversions do that lose the cache."""
    saved = Saved(bundle, TEXT)
    operations = saved.block(function).operations
    for _ in range(count):
        at = next(at for at, each in enumerate(operations) if each.type == "write_state")
        updated, kept = operations[at].inputs["data"].arguments[0].name, operations[at + 1].outputs[0].name
        before = next(each for each in operations if each.outputs and each.outputs[0].name == updated).inputs["x"]
        old = before.arguments[0].name
        del operations[at : at + 2]
        for operation in operations:
            for argument in operation.inputs.values():
                for binding in argument.arguments:
                    if binding.name == kept:
                        binding.name = old if operation.type == "slice_update" else updated
    saved.write()


def _shrink_table(bundle: Bundle) -> None:
    path = bundle.path / "token_embedding.safetensors"
    tensors = load_file(path)
    tensors["scale"] = tensors["scale"] * np.float32(0.9)
    save_file(tensors, path)


def _shift_pixels(bundle: Bundle) -> None:
    """Another mean."""
    saved = Saved(bundle, VISION)
    (shift,) = saved.operations("pixel_shift")
    shift.attributes["val"].immediateValue.tensor.floats.values[0] += 0.3
    saved.write()


FAULTS: dict[str, tuple[str, Callable[[Bundle], object]]] = {
    "prefill forgets all": ("prefill", lambda bundle: _drop_writes(bundle, "prefill", 8)),
    "decode forgets a layer's keys": ("decode", lambda bundle: _drop_writes(bundle, "decode", 1)),
    "two weights of a layer swapped": (
        "prefill", lambda bundle: _swap(bundle, TEXT, "layers_1_self_attn_q_proj_weight", "layers_1_self_attn_v_proj_weight"),
    ),
    "two layers' weights swapped": (
        "prefill", lambda bundle: _swap(bundle, TEXT, "layers_0_self_attn_v_proj_weight", "layers_2_self_attn_v_proj_weight"),
    ),
    "the tower's weights swapped": (
        "vision_encoder", lambda bundle: _swap(bundle, VISION, "layers_0_mlp_fc1_weight", "layers_3_mlp_fc1_weight"),
    ),
    "a decoder's scale": ("prefill", lambda bundle: _scale(bundle, TEXT, "layers_0_self_attn_v_proj_weight", 4)),
    "lm_head's scale": ("prefill", lambda bundle: _scale(bundle, TEXT, "logits_weight", 4)),
    "the tower's scale": ("vision_encoder", lambda bundle: _scale(bundle, VISION, "layers_2_mlp_fc2_weight", 2)),
    "LDPv2's scale": ("projector", lambda bundle: _scale(bundle, VISION, "projector_fc2_weight", 1.1)),
    "the table's scale": ("token_embedding", _shrink_table),
    "the normalisation": ("vision_encoder", _shift_pixels),
}  # fmt: skip


def _compare(model: MobileVLM, bundle: Bundle, samples: list[Sample]) -> ParityReport:
    runner = Runner(Bundle(bundle.path, bundle.manifest))
    return compare(
        model,
        Tokenizer(DEMO_CHECKPOINT / "tokenizer.model"),
        runner.methods(),
        runner.answer_ids,
        PhoneInputs(bundle),
        samples,
        recipe=bundle.manifest.values["quantization"]["recipe"],
        max_context=bundle.manifest.max_context,
        max_prefill=bundle.manifest.max_prefill,
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_saved_program_is_found_where_it_is(
    model: MobileVLM, copy: Bundle, samples: list[Sample], fault: str
) -> None:
    stage, inject = FAULTS[fault]
    inject(copy)
    report = _compare(model, copy, samples)
    assert report.first_divergence == stage, [(each.name, each.metrics) for each in report.stages]


def test_a_sound_program_passes(model: MobileVLM, coreml_bundle: Bundle, samples: list[Sample]) -> None:
    # Enough samples that one near tie, as noise brings it about, is no false alarm.
    report = _compare(model, coreml_bundle, [*samples, *default_samples()[1:7:2]])
    assert report.first_divergence is None, [(each.name, each.metrics) for each in report.stages]
    measured = {stage.name: stage.metrics for stage in report.stages}
    assert measured["vision_encoder"]["snr_db"] < 60  # int8 is really what ran
    assert 1e-6 < measured["decode"]["mean_kl"] < 0.05
