"""A published bundle has a card that says what it is, and comes back from the hub as it was."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_hub import FakeHub, running_hub

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.resolve_bundle import resolve_bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.errors import BundleError
from mobilevlm_host.cli.mvlm import main

NAME = "me/tiny-int4"
_PICTURE = DEMO_SAMPLES / "word-and-shapes.png"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with running_hub(monkeypatch) as hub:
        yield hub


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _parity(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    stage = {"passed": True, "metrics": {"snr_db": 41.4, "mean_kl": 2e-4, "same": 0.9375}}
    names = ("vision_encoder", "projector", "token_embedding", "prefill", "decode", "answer")
    return {
        "verdict": "pass",
        "backend": "executorch",
        "recipe": bundle.manifest.values["quantization"]["recipe"],
        "samples": 32,
        "stages": dict.fromkeys(names, stage),
    } | changes


def test_a_card_says_what_the_bundle_is_and_what_was_measured(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "parity.json").write_text(json.dumps(_parity(tiny_bundle)))
    evaluation = {"benchmark": "gqa", "questions": 12578, "metrics": {"accuracy": 59.26}}
    against = {"difference": -0.3, "interval": [-0.6, 0.1]}
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
    assert "| gqa | 12578 | accuracy 59.3 | -0.3 (-0.6 to +0.1) |" in text
    assert "On Android" in text
    assert "On an iPhone" not in text
    assert "|---|---|\n\n" not in text
    assert "\n\n\n" not in text


def test_a_card_says_what_was_not_measured(tiny_bundle: Bundle) -> None:
    text = _run("card", tiny_bundle.path, "--license", "mit").stdout
    assert "It was not compared with the fp32 checkpoint" in text
    assert "No benchmark was run" in text
    assert "base_model" not in text
    assert "\n\n\n" not in text


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


def test_a_newer_commit_replaces_the_download(hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path) -> None:
    archive = tmp_path / "a.mvlm.zip"
    _run("publish", tiny_bundle.path, NAME, "--license", "mit", "--dry-run", tmp_path / "out")
    shutil.copy(tmp_path / "out" / f"{tiny_bundle.path.name}.zip", archive)
    hub.repositories[NAME] = {"a.mvlm.zip": archive.read_bytes()}
    first = resolve_bundle(NAME)
    hub.repositories[NAME]["README.md"] = b"changed"
    second = resolve_bundle(NAME)
    assert first != second
    assert not first.exists()
    assert Bundle.open(second).manifest.values == tiny_bundle.manifest.values


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.pte": b""}, "got 0 files NAME.mvlm.zip on the hub, expected one bundle"),
        ({"a.mvlm.zip": b"", "b.mvlm.zip": b""}, "got 2 files NAME.mvlm.zip on the hub, expected one bundle"),
        ({"a.mvlm.zip": b"no zip"}, "got a damaged archive"),
    ],
)
def test_a_repository_without_one_sound_bundle_is_refused(
    hub: FakeHub, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    hub.repositories[NAME] = dict(files)
    with pytest.raises(BundleError, match=message):
        resolve_bundle(NAME)
    assert not list((tmp_path / "cache").rglob("*.mvlm"))


def test_a_download_that_was_changed_is_refused(hub: FakeHub, tiny_bundle: Bundle, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(tiny_bundle.path, changed)
    program = changed / "model.pte"
    data = bytearray(program.read_bytes())
    data[len(data) // 2] ^= 1
    program.write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.mvlm.zip", "w") as archive:
        for file in changed.rglob("*"):
            archive.write(file, file.relative_to(changed))
    hub.repositories[NAME] = {"a.mvlm.zip": (tmp_path / "a.mvlm.zip").read_bytes()}
    with pytest.raises(BundleError, match=r"model\.pte: got SHA-256 .* the file is damaged"):
        resolve_bundle(NAME)


def test_a_full_disk_is_found_before_the_download(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME] = {"a.mvlm.zip": b"x" * 100}
    free = shutil.disk_usage(tmp_path)._replace(free=1 << 29)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(BundleError, match=r"got 536\.9 MB free in .*, expected 1\.07 GB to download it"):
        resolve_bundle(NAME)
    assert hub.downloaded(NAME) == []


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
    recipe = {"name": "int8"}
    (tmp_path / "parity.json").write_text(json.dumps(_parity(tiny_bundle, recipe=recipe)))
    assert "parity: got the record of a bundle with recipe 'int8'" in error(
        "card", bundle, "--license", "mit", "--parity", tmp_path / "parity.json"
    )
    (tmp_path / "parity.json").write_text(json.dumps(_parity(tiny_bundle, backend="coreml")))
    assert "expected executorch" in error("card", bundle, "--license", "mit", "--parity", tmp_path / "parity.json")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 30)
    assert "the hub took nothing (" in error("publish", bundle, NAME, "--license", "mit")
    assert hub.repositories == {}
    assert "couldn't be downloaded" in error("ask", "me/missing", _PICTURE, "What?")
