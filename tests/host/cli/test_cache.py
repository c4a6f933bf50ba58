"""``mvlm cache`` lists and removes packed weights; ``--no-weight-cache`` neither reads nor writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.engines import packed_load
from mobilevlm_host.engines.packed_files import OFF, SETTING, PackedFile, PackedProgram


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    monkeypatch.setenv(SETTING, str(folder))
    return folder


@pytest.fixture
def two(folder: Path, tmp_path: Path) -> list[PackedFile]:
    """Of a zip that exists, and of one that doesn't."""
    folder.mkdir()
    (tmp_path / "a.mvlm.zip").touch()
    files = []
    for letter in "ab":
        (tmp_path / "new").write_bytes(bytes(2_000_000))
        file = PackedFile(folder, letter * 32)
        bundle = tmp_path / f"{letter}.mvlm.zip"
        file.put(tmp_path / "new", PackedProgram(tmp_path / "model.pte", 10, "0" * 64, bundle))
        os.utime(file.record_path, (1_700_000_000, 1_700_000_000 - ord(letter)))
        files.append(file)
    return files


def test_files_are_listed(two: list[PackedFile], folder: Path) -> None:
    listed = run("cache")
    assert listed.exit_code == 0
    assert f"{folder}: 4.0 MB" in listed.stdout
    assert "a" * 32 in listed.stdout
    assert "2.0 MB" in listed.stdout
    assert listed.stdout.count("(no longer exists)") == 1
    values = json.loads(run("cache", "--json").stdout)
    assert values["folder"] == str(folder)
    assert values["bytes"] == 4_000_000
    assert [each["name"][0] for each in values["files"]] == ["a", "b"]
    assert [each["outdated"] for each in values["files"]] == [False, True]
    assert values["removed"] == []


def test_files_are_removed_by_bundle_and_name(two: list[PackedFile], tmp_path: Path) -> None:
    removed = run("cache", "--remove", tmp_path / "a.mvlm.zip")
    assert removed.stdout.startswith("removed 1, 2.0 MB\n")
    assert not two[0].path.exists()
    assert two[1].path.exists()
    values = json.loads(run("cache", "--remove", two[1].name, "--json").stdout)
    assert (values["files"], values["removed"], values["freed_bytes"]) == ([], [two[1].name], 2_000_000)
    assert "nothing" in run("cache").stdout


def test_all_are_removed_but_nothing_else(two: list[PackedFile], folder: Path) -> None:
    (folder / "notes.json").write_text("mine")
    assert run("cache", "--remove-all").stdout == "removed 2, 4.0 MB\n"
    assert [path.name for path in folder.iterdir()] == ["notes.json"]


def test_an_unknown_name_removes_nothing(two: list[PackedFile]) -> None:
    failed = run("cache", "--remove", two[0].name, "--remove", "nothing.mvlm")
    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: nothing.mvlm: no packed weights in ")
    assert failed.stderr.count("\n") == 1
    assert two[0].path.exists()


def test_a_folder_that_is_missing_or_not_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("cache").stdout == f"{folder}: nothing\n"
    monkeypatch.setenv(SETTING, OFF)
    assert run("cache").stdout == "weights are not kept: nothing\n"
    assert json.loads(run("cache", "--json").stdout)["folder"] is None


def test_ask_keeps_weights_unless_told_not_to(
    tiny_bundle: Bundle, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_load, "SMALLEST_BYTES", 0)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    ask = ("ask", tiny_bundle.path, tmp_path / "red.png", "What is this?", "--max-new-tokens", 5)
    plain = run(*ask, "--no-weight-cache")
    assert plain.exit_code == 0, plain.output
    assert not folder.exists()
    assert os.environ[SETTING] == str(folder)
    first, second = run(*ask), run(*ask)
    assert first.stdout == second.stdout == plain.stdout
    assert [each.stderr.count(packed_load.STAGE) for each in (plain, first, second)] == [0, 1, 0]
    [listed] = json.loads(run("cache", "--json").stdout)["files"]
    assert listed["bundle"] == str(tiny_bundle.path)
    assert not listed["outdated"]
