"""The options of emulation as a user types them: clear answers, and mistakes in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.errors import BundleError
from mobilevlm_host.arm64.arm64_methods import Arm64Methods
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.parity.two_machines import STAGES


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("run_methods")
def test_parity_on_arm64_reports_the_machines_differences(demo_bundle: Bundle, tmp_path: Path) -> None:
    pictures, page = tmp_path / "pictures", tmp_path / "report.html"
    pictures.mkdir()
    shutil.copy(DEMO_SAMPLES / "two-shapes.png", pictures)
    done = _run("parity", "demo", demo_bundle.path, "--images", pictures, "--arm64", "--report", page, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass"
    assert tuple(report["stages"])[-5:] == STAGES
    found = report["stages"]
    assert found["arm64 vision_encoder"]["metrics"]["snr_db"] > 40
    assert found["arm64 text_decoder"]["metrics"]["median_snr_db"] > 40
    # Sums in another order: equal to the last bit would mean that this machine's kernels ran twice.
    assert found["arm64 vision_encoder"]["metrics"]["max_abs"] > 0
    assert found["arm64 answer"]["metrics"] == {"same": 1.0, "flips": 0.0}
    shown = page.read_text(encoding="utf-8")
    assert "on an emulated cortex-a76" in shown
    assert all(stage in shown for stage in STAGES)


def test_options_that_need_one_another(tmp_path: Path) -> None:
    alone = _run("parity", "demo", tmp_path, "--cpu", "cortex-a76")
    assert alone.exit_code == 2
    assert "--cpu selects the CPU that --arm64 emulates: give both" in alone.stderr
    apple = _run("parity", "demo", tmp_path, "--arm64", "--backend", "coreml")
    assert apple.exit_code == 2
    assert "--arm64 runs ExecuTorch's program: omit --backend coreml" in apple.stderr
    layers = _run("parity", "demo", tmp_path, "--arm64", "--layers")
    assert layers.exit_code == 2
    assert "--layers runs the program on this machine, not on the emulated CPU: omit --arm64" in layers.stderr
    unchecked = _run("golden", tmp_path, "--arm64")
    assert unchecked.exit_code == 2
    assert "also give --check" in unchecked.stderr


def test_without_tools_the_command_says_what_to_install(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = _run("parity", tiny_checkpoint, tiny_bundle.path, "--arm64")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.endswith("install it: sudo apt-get install g++-aarch64-linux-gnu qemu-user-static\n")
    assert "Traceback" not in done.stderr


def test_a_bundle_without_a_program_for_executorch_is_refused(tiny_bundle: Bundle) -> None:
    values = {**tiny_bundle.manifest.values, "artifacts": {"coreml": {}}}
    bundle = Bundle(tiny_bundle.path, replace(tiny_bundle.manifest, values=values))
    with pytest.raises(BundleError, match=r"got artifacts for coreml, expected executorch$"):
        Arm64Methods(bundle)
