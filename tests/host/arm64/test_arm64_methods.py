"""The demo on emulated ARM CPUs: it gives there what it gave here, and what does not is found, in its own stage."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import EngineError
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.arm64 import arm64_methods, toolchain
from mobilevlm_host.arm64.arm64_methods import Arm64Methods, require_sound
from mobilevlm_host.arm64.toolchain import emulated
from mobilevlm_host.ask.conversation import Conversation, ModelSpec
from mobilevlm_host.ask.phone_inputs import PhoneInputs
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines.emulated_cpu import DEFAULT_CPU
from mobilevlm_host.engines.generation import MethodsGeneration
from mobilevlm_host.parity.check import default_samples
from mobilevlm_host.parity.stages import ParityReport, compare
from mobilevlm_host.parity.two_machines import STAGES, TwoMachines
from mobilevlm_host.records.golden import check_golden, read_golden

pytestmark = pytest.mark.usefixtures("run_methods")
I8MM = "max,sme=off"  # every feature that the emulator has but SME: 8-bit matrix products
# Mask and value of the instruction words, whatever the registers: products of 4 and of 8 bytes, by vector and by matrix.
SDOT, SMMLA = (0xBF00F400, 0x0F00E000), (0xFFE0FC00, 0x4E80A400)
INSTRUCTIONS = {"sdot": SDOT, "smmla": SMMLA}


@pytest.mark.parametrize("cpu", [DEFAULT_CPU, I8MM])
def test_a_phones_cpu_matches_the_golden_records(demo_bundle: Bundle, cpu: str) -> None:
    replays = check_golden(demo_bundle, arm64_cpu=cpu)
    assert [replay.differs for replay in replays.values()] == ["none"] * 3
    assert all(finding.same for replay in replays.values() for finding in replay.findings)


def test_an_emulated_phone_answers_like_the_runner(demo_bundle: Bundle) -> None:
    spec = ModelSpec.of(demo_bundle)
    with Arm64Methods(demo_bundle) as methods:
        engine = MethodsGeneration(methods, pieces=spec.tokenizer.vocab_size, max_prefill=spec.max_prefill)
        arm = Conversation(engine, spec)
        for name, picture, record in read_golden(demo_bundle):
            assert record.stop_reason == "eos"
            assert tuple(arm.answer_ids(picture, record.question, record.max_new_tokens)) == record.answer_ids, name
            assert tuple(arm.answer_ids(picture, record.question, 1)) == (record.answer_ids or ())[:1]


@pytest.mark.parametrize(("cpu", "bits"), [(DEFAULT_CPU, SDOT), (I8MM, SMMLA)], ids=["dot product", "i8mm"])
def test_the_kernels_are_those_of_the_phones_cpu(
    demo_bundle: Bundle, run_methods: Path, tmp_path: Path, cpu: str, bits: tuple[int, int]
) -> None:
    """The emulator writes down each instruction that it meets."""
    log = tmp_path / "instructions"
    command = emulated(toolchain.emulator(), cpu, str(run_methods), str(demo_bundle.artifact("executorch")))
    size = demo_bundle.config.vision.image_size
    asked = f"vision_encoder 1\nu8 1 3 {size} {size}\n".encode() + bytes(3 * size * size)
    subprocess.run(
        [command[0], "-d", "in_asm", "-D", str(log), *command[1:]], input=asked, capture_output=True, check=True
    )
    words = [int(word, 16) for word in re.findall(r"^0x[0-9a-f]+:\s+([0-9a-f]{8})\s", log.read_text(), re.MULTILINE)]
    found = {name: any(word & mask == value for word in words) for name, (mask, value) in INSTRUCTIONS.items()}
    assert len(words) > 1000
    assert found == {name: kind == bits for name, kind in INSTRUCTIONS.items()}


def with_one_change(tmp_path: Path, before: str, after: str) -> Path:
    """``run_methods`` built from sources of which one line is another."""
    for name in ("run_methods.cpp", "llama_ops.cpp"):
        shutil.copy(toolchain.SOURCES / name, tmp_path)
    text = (tmp_path / "llama_ops.cpp").read_text()
    assert text.count(before) == 1
    (tmp_path / "llama_ops.cpp").write_text(text.replace(before, after))
    return toolchain.build_methods(tmp_path)


def measured(bundle: Bundle, *, program: Path | None = None, arm: Bundle | None = None) -> ParityReport:
    """One sample: the ARM program compared with this machine's and with the fp32 demo."""
    samples = default_samples()[:1]
    recipe = bundle.manifest.values["quantization"]["recipe"]
    with Runner(bundle) as runner, Arm64Methods(arm or bundle, program=program) as emulated:
        machines = TwoMachines(emulated, runner)
        tokenizer = Tokenizer(DEMO_CHECKPOINT / "tokenizer.model")
        report = compare(
            load_checkpoint(DEMO_CHECKPOINT), tokenizer, machines, machines.answer, PhoneInputs(bundle),
            samples, recipe=recipe, max_context=bundle.manifest.max_context, max_prefill=bundle.manifest.max_prefill,
        )  # fmt: skip
    stages = machines.stages(recipe, [samples[0].name])
    return ParityReport(report.recipe, report.stages + stages, report.measured)


def failed(report: ParityReport) -> set[str]:
    return {stage.name for stage in report.stages if not stage.passed}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("value.size(1) * row * sizeof(float));", "(value.size(1) > 1) * value.size(1) * row * sizeof(float));"),
        ("const int64_t g = h / (heads / kv_heads);", "const int64_t g = (h + (tokens == 1)) % kv_heads;"),
    ],
    ids=["a cache write is lost in decoding", "decoding reads another head's cache"],
)
def test_a_wrong_kernel_is_found_in_the_text_decoder(
    demo_bundle: Bundle, tmp_path: Path, before: str, after: str
) -> None:
    found = failed(measured(demo_bundle, program=with_one_change(tmp_path, before, after)))
    assert {"decode", "arm64 text_decoder"} <= found
    assert not found & {"vision_encoder", "projector", "token_embedding", "prefill", "arm64 vision_encoder"}


def test_a_damaged_weight_is_found(demo_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(demo_bundle.path, tmp_path / "copy.mvlm"))
    damaged = bytearray((copy / "model.pte").read_bytes())
    for at in (len(damaged) * 7 // 20, len(damaged) * 13 // 20):  # both among weights that every prompt uses
        damaged[at : at + 4096] = bytes(reversed(damaged[at : at + 4096]))
    (copy / "model.pte").write_bytes(damaged)
    assert failed(measured(demo_bundle, arm=Bundle(copy, demo_bundle.manifest))) & set(STAGES)


def test_an_emulator_whose_sme_is_wrong_is_refused_and_what_it_would_do_is_found(
    demo_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = emulated(toolchain.emulator(), "max", str(toolchain.build_smopa()))
    is_sound = subprocess.run(probe, check=False).returncode == 0  # QEMU 9 and newer
    if not is_sound:
        with pytest.raises(EngineError, match=r"got wrong sums from SMOPA on max, .*--cpu max,sme=off"):
            check_golden(demo_bundle, arm64_cpu="max")
    monkeypatch.setattr(arm64_methods, "require_sound", lambda *_: None)
    replays = check_golden(demo_bundle, arm64_cpu="max")
    assert [replay.differs for replay in replays.values()] == ["none" if is_sound else "vision encoder"] * 3


def test_cpus_are_probed_before_they_are_trusted(tmp_path: Path) -> None:
    for cpu in (DEFAULT_CPU, I8MM):
        require_sound(toolchain.emulator(), cpu)
    with pytest.raises(
        EngineError, match=r"^arm64: CPU 'no-such-cpu': got .*no-such-cpu.* from qemu.*, expected a CPU it"
    ):
        require_sound(toolchain.emulator(), "no-such-cpu")
    wrong = tmp_path / "qemu-old"
    wrong.write_text("#!/bin/sh\nexit 1\n")
    wrong.chmod(0o755)
    with pytest.raises(EngineError, match=r"^arm64: qemu-old: got wrong sums from SMOPA on max"):
        require_sound(str(wrong), "max")
