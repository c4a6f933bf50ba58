"""A published bundle has a card that says what it is, and comes back from the hub as it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_hub import TOKEN, FakeHub
from repository import ROOT

from mobilevlm_export.bundle.artifact_hash import artifact_sha256
from mobilevlm_export.bundle.open_bundle import open_bundle
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_host.cli.mvlm import main

NAME = "me/tiny-int4"
_PICTURE = DEMO_SAMPLES / "word-and-shapes.png"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _parity(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    stage = {"passed": True, "metrics": {"snr_db": 41.4, "mean_kl": 2e-4, "same": 0.9375}}
    names = ("vision_encoder", "projector", "token_embedding", "prefill", "decode", "answer")
    return {
        "verdict": "pass",
        "backend": "executorch",
        "artifact_sha256": artifact_sha256(bundle.manifest, "executorch"),
        "samples": 32,
        "stages": dict.fromkeys(names, stage),
    } | changes


def _evaluation(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    return {
        "benchmark": "gqa",
        "artifact_sha256": artifact_sha256(bundle.manifest, "executorch"),
        "questions": 12578,
        "metrics": {"accuracy": 59.26},
    } | changes


def test_a_card_says_what_the_bundle_is_and_what_was_measured(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "parity.json").write_text(json.dumps(_parity(tiny_bundle)))
    evaluation = _evaluation(tiny_bundle)
    against = {"system": "/home/me/MobileVLM_V2-1.7B", "difference": -0.3, "interval": [-0.6, 0.1]}
    (tmp_path / "gqa.json").write_text(json.dumps(evaluation | {"against": against}))
    done = _run(
        "card", tiny_bundle.path, "--license", "apache-2.0", "--base-model", "mtgv/MobileVLM_V2-1.7B",
        "--parity", tmp_path / "parity.json", "--evaluation", tmp_path / "gqa.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    _, header, text = done.stdout.split("---\n", 2)
    assert header.splitlines()[:4] == [
        'license: "apache-2.0"',
        "pipeline_tag: image-text-to-text",
        'base_model: "mtgv/MobileVLM_V2-1.7B"',
        "base_model_relation: quantized",
    ]
    assert "- executorch\n" in header
    assert "- coreml\n" not in header
    assert tiny_bundle.manifest.source_sha256 in text
    assert "| `vision_encoder` | 41 dB | passed |" in text
    assert "| `answer` | 94% of the answers equal | passed |" in text
    assert "| gqa | 12578 | accuracy 59.3 | MobileVLM_V2-1.7B | -0.3 (-0.6 to +0.1) |" in text
    assert "On Android" in text
    assert "On an iPhone" not in text
    assert "|---|---|\n\n" not in text
    assert "\n\n\n" not in text


@pytest.mark.slow
def test_a_card_takes_what_the_commands_print(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also about a single image, over which there is no interval."""
    monkeypatch.chdir(tmp_path)
    Path("parity.json").write_text(_run("parity", tiny_checkpoint, tiny_bundle.path, "--json").stdout)
    asked = ("evaluate", tiny_bundle.path, "--benchmark", "demo", "--limit", 1, "--against", tiny_checkpoint, "--json")
    Path("demo.json").write_text(_run(*asked).stdout)
    done = _run("card", tiny_bundle.path, "--license", "mit", "--parity", "parity.json", "--evaluation", "demo.json")
    assert done.exit_code == 0, done.output
    same = json.loads(Path("parity.json").read_text())["stages"]["answer"]["metrics"]["same"]
    difference = json.loads(Path("demo.json").read_text())["against"]["difference"]
    assert f"| `answer` | {same:.0%} of the answers equal |" in done.stdout
    assert f"| {tiny_checkpoint.name} | {difference:+.1f} (one image) |" in done.stdout


def test_a_card_says_what_was_not_measured(tiny_bundle: Bundle) -> None:
    text = _run("card", tiny_bundle.path, "--license", "mit").stdout
    assert "It was not compared with the fp32 checkpoint" in text
    assert "No benchmark was run" in text
    assert "base_model" not in text
    assert "\n\n\n" not in text


def test_a_card_installs_the_kit_as_the_release_guide_does(tiny_bundle: Bundle) -> None:
    """It is on no package index."""
    lines = _run("card", tiny_bundle.path, "--license", "mit").stdout.splitlines()
    (command,) = [line for line in lines if line.startswith("pip install ")]
    assert command == "pip install 'mobilevlm_kit-VERSION-py3-none-any.whl[serve]'"
    assert command in (ROOT / "docs/guides/release.md").read_text()


def test_a_dry_run_writes_the_repository(tiny_bundle: Bundle, tmp_path: Path) -> None:
    done = _run("publish", tiny_bundle.path, NAME, "--license", "mit", "--dry-run", tmp_path / "out")
    assert done.exit_code == 0, done.output
    archive = tmp_path / "out" / f"{tiny_bundle.path.name}.zip"
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"README.md", "manifest.json", archive.name}
    with Bundle.open(archive) as bundle:
        assert bundle.manifest.values == tiny_bundle.manifest.values
    again = _run("publish", tiny_bundle.path, NAME, "--license", "mit", "--dry-run", tmp_path / "out")
    assert again.exit_code == 1
    assert again.stderr == f"Error: {tmp_path / 'out'}: already exists, expected a new folder\n"


def test_what_is_published_can_be_asked(
    hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = _run("publish", tiny_bundle.path, NAME, "--license", "mit", "--private", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["at"] == f"{hub.endpoint}/{NAME}/commit/{hub.commit(NAME)}"
    assert hub.private == {NAME: True}
    options = ("What is this?", "--max-new-tokens", 4, "--json")
    asked, expected = _run("ask", NAME, _PICTURE, *options), _run("ask", tiny_bundle.path, _PICTURE, *options)
    assert asked.exit_code == 0, asked.output
    assert f"downloading {NAME}" in asked.stderr
    assert json.loads(asked.stdout)["answer"] == json.loads(expected.stdout)["answer"]
    hub.requests.clear()
    assert _run("ask", NAME, _PICTURE, *options).exit_code == 0
    assert hub.downloaded(NAME) == []
    # A folder of that name wins, and a hub that is gone is no problem.
    hub.repositories.clear()
    assert _run("ask", NAME, _PICTURE, *options).exit_code == 0
    (tmp_path / "me").mkdir()
    (tmp_path / NAME).write_text("not a bundle")
    assert "damaged archive" in _run("ask", NAME, _PICTURE, *options).stderr


def test_a_download_is_hashed_once(
    hub: FakeHub, tiny_bundle: Bundle, tiny_zip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = Counter[str]()

    def counted(path: Path, *given: Any) -> str:
        hashed[path.name] += 1
        return file_sha256(path, *given)

    monkeypatch.setattr("mobilevlm_export.bundle.read.file_sha256", counted)
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    for _ in range(2):  # downloaded, then kept
        assert _run("ask", NAME, _PICTURE, "What?", "--max-new-tokens", 1).exit_code == 0
        assert hashed == Counter(Path(entry.path).name for entry in tiny_bundle.manifest.files)
        hashed.clear()


def test_a_download_that_was_damaged_since_is_refused_until_it_is_deleted(hub: FakeHub, tiny_zip: bytes) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    kept = open_bundle(NAME).path
    (kept / "model.pte").write_bytes(b"damaged")
    done = _run("ask", NAME, _PICTURE, "What?")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith(f"Error: {kept / 'model.pte'}: got 7 bytes")
    shutil.rmtree(kept)
    assert open_bundle(NAME).path == kept


@pytest.mark.parametrize("option", ["--parity", "--evaluation"])
def test_a_record_of_another_bundle_is_refused(tiny_bundle: Bundle, tmp_path: Path, option: str) -> None:
    make = _parity if option == "--parity" else _evaluation
    for other in ({"artifact_sha256": "ab" * 32}, {"artifact_sha256": None}):
        (tmp_path / "a.json").write_text(json.dumps(make(tiny_bundle, **other)))
        done = _run("card", tiny_bundle.path, "--license", "mit", option, tmp_path / "a.json")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "got the record of another program" in done.stderr


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("--parity", {"samples": "<b>32</b>"}),
        ("--parity", {"verdict": None}),
        ("--parity", {"stages": {}}),
        ("--parity", {"stages": {"projector": {"metrics": {"snr_db": "high"}}}}),
        ("--evaluation", {"questions": "many"}),
        ("--evaluation", {"metrics": {}}),
        ("--evaluation", {"metrics": {"accuracy": None}}),
        ("--evaluation", {"against": {}}),
        ("--evaluation", {"against": {"system": "a", "difference": 1, "interval": [1]}}),
        ("--evaluation", {"against": {"system": "a", "difference": 1}}),
        ("--evaluation", {"against": {"difference": 1, "interval": None}}),
        ("--parity", {"stages": {"projector": {"passed": True, "metrics": {}}}}),
    ],
)
def test_a_record_with_other_types_is_one_line(
    tiny_bundle: Bundle, tmp_path: Path, option: str, changes: dict[str, Any]
) -> None:
    made = _parity(tiny_bundle) if option == "--parity" else _evaluation(tiny_bundle)
    if stages := changes.get("stages"):
        changes = {"stages": made["stages"] | stages}
    (tmp_path / "a.json").write_text(json.dumps(made | changes))
    done = _run("card", tiny_bundle.path, "--license", "mit", option, tmp_path / "a.json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {tmp_path / 'a.json'}: got another JSON file, expected the output of mvlm ")


def test_only_what_the_manifest_lists_is_published(tiny_bundle: Bundle, tmp_path: Path) -> None:
    bundle = tmp_path / "mine.mvlm"
    shutil.copytree(tiny_bundle.path, bundle)
    (bundle / "notes.txt").write_text("private")
    done = _run("publish", bundle, NAME, "--license", "mit", "--dry-run", tmp_path / "out")
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(tmp_path / "out" / "mine.mvlm.zip") as archive:
        assert set(archive.namelist()) == {"manifest.json", *(each.path for each in tiny_bundle.manifest.files)}


def test_a_repository_keeps_one_bundle(hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path) -> None:
    hub.repositories[NAME] = {"old[1].mvlm.zip": b"old", "old/a.mvlm.zip": b"kept", "notes.txt": b"kept"}
    done = _run("publish", tiny_bundle.path, NAME, "--license", "mit")
    assert done.exit_code == 0, done.output
    expected = {"README.md", "manifest.json", f"{tiny_bundle.path.name}.zip", "old/a.mvlm.zip", "notes.txt"}
    assert set(hub.repositories[NAME]) == expected
    assert open_bundle(NAME).path.name == tiny_bundle.path.name


def test_a_disk_that_fills_up_meanwhile_is_one_line(
    hub: FakeHub, tiny_zip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, local_dir: Path, **__: object) -> str:
        (local_dir / "a.mvlm.zip.incomplete").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(local_dir))

    hub.repositories[NAME] = {"a.mvlm.zip": tiny_zip}
    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    done = _run("ask", NAME, _PICTURE, "What?")
    assert done.exit_code == 1
    assert done.stderr.strip().splitlines()[-1].endswith("No space left on device")
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []


@pytest.mark.parametrize("token", [TOKEN, "hf_" + "b" * 30, "hf_" + "ü" * 30, "hf_" + "b" * 20 + "\x01" + "b" * 9])
def test_the_token_is_never_shown(
    hub: FakeHub, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    for arguments in (("publish", tiny_bundle.path, NAME, "--license", "mit"), ("ask", "me/missing", _PICTURE, "?")):
        done = _run(*arguments)
        assert token[3:] not in done.output
        assert "Traceback" not in done.output
        assert done.exit_code == (0 if token == TOKEN and arguments[0] == "publish" else 1)


def test_mistakes_are_one_line(
    hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(*arguments: object) -> str:
        done = _run(*arguments)
        assert done.exit_code != 0
        assert "Traceback" not in done.output
        return done.stderr.strip().splitlines()[-1]

    bundle = tiny_bundle.path
    assert "Missing option '--license'" in error("card", bundle)
    assert error("card", bundle, "--license", "Apache 2").startswith("Error: license: got 'Apache 2'")
    assert "repository: got 'a/b/c'" in error("publish", bundle, "a/b/c", "--license", "mit")
    (tmp_path / "other.json").write_text("{}")
    assert "expected the output of mvlm parity --json" in error(
        "card", bundle, "--license", "mit", "--parity", tmp_path / "other.json"
    )
    assert "repository: got 'tiny'" in error("publish", bundle, "tiny", "--license", "mit")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 30)
    assert "the hub took nothing (" in error("publish", bundle, NAME, "--license", "mit")
    assert hub.repositories == {}
    assert "couldn't be downloaded" in error("ask", "me/missing", _PICTURE, "What?")
