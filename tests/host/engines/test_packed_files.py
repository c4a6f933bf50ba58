"""The folder of packed weights: what is in it, what is swept, and what isn't the kit's is left alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mobilevlm_export.bundle.manifest import MANIFEST
from mobilevlm_host.engines import packed_files
from mobilevlm_host.engines.packed_files import (
    PackedFile,
    PackedProgram,
    is_outdated,
    sweep_packed,
    weights_folder,
)
from mobilevlm_host.engines.packed_files import (
    packed_files as found_in,
)

GOOD_MANIFEST = Path(__file__).parents[2] / "golden" / "manifests"
NAMES = [letter * 32 for letter in "abcd"]


def put(folder: Path, name: str, bundle: Path, used: float, size: int = 1000) -> PackedFile:
    """Packed weights of ``size`` bytes, last used at ``used``."""
    folder.mkdir(exist_ok=True)
    new = folder / "new"
    new.write_bytes(bytes(size))
    file = PackedFile(folder, name)
    file.put(new, PackedProgram(bundle / "model.pte", 10, "0" * 64, bundle))
    os.utime(file.record_path, (used, used))
    return file


@pytest.fixture
def zips(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name[0]}.mvlm.zip" for name in NAMES]
    for path in paths:
        path.touch()
    return paths


def test_files_are_listed_by_last_use(tmp_path: Path, zips: list[Path]) -> None:
    folder = tmp_path / "weights"
    assert found_in(folder) == []
    for at in (1, 0, 2):
        put(folder, NAMES[at], zips[at], used=at, size=100 + at)
    assert [file.name for file in found_in(folder)] == [NAMES[2], NAMES[1], NAMES[0]]
    assert [file.bytes() for file in found_in(folder)] == [102, 101, 100]


def test_the_least_recently_used_are_removed_for_room(
    tmp_path: Path, zips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    for at, bundle in enumerate(zips):
        put(folder, NAMES[at], bundle, used=at)
    monkeypatch.setattr(packed_files, "MOST_BYTES", 3500)
    sweep_packed(folder, keep="", room=1000)
    assert [file.name for file in found_in(folder)] == [NAMES[3], NAMES[2]]
    sweep_packed(folder, keep=NAMES[2], room=3400)  # the file that room is made for
    assert [file.name for file in found_in(folder)] == [NAMES[2]]


def test_what_belongs_to_no_bundle_is_removed(tmp_path: Path, zips: list[Path]) -> None:
    folder = tmp_path / "weights"
    kept, gone, unknown, failed = (put(folder, name, bundle, used=1) for name, bundle in zip(NAMES, zips, strict=True))
    zips[1].unlink()
    unknown.record_path.unlink()
    failed.path.unlink()
    sweep_packed(folder, keep="", room=0)
    assert {file.name for file in found_in(folder)} == {kept.name, failed.name}
    assert not gone.path.exists()
    assert not unknown.path.exists()


def test_what_belongs_to_a_bundle_that_was_exported_again_is_removed(tmp_path: Path) -> None:
    bundle = tmp_path / "a.mvlm"
    bundle.mkdir()
    manifest = next(path for path in sorted(GOOD_MANIFEST.rglob("*.json")) if "good" in str(path))
    shutil.copy(manifest, bundle / MANIFEST)
    sha256 = packed_files.read_manifest(bundle / MANIFEST).files[0].sha256
    program = PackedProgram(bundle / "model.pte", 10, sha256, bundle)
    (tmp_path / "new").write_bytes(b"weights")
    file = PackedFile(tmp_path, NAMES[0])
    file.put(tmp_path / "new", program)
    assert not is_outdated(file.record())
    text = (bundle / MANIFEST).read_text().replace(sha256, sha256[::-1])
    (bundle / MANIFEST).write_text(text)
    assert is_outdated(file.record())
    (bundle / MANIFEST).write_text("{}")
    assert is_outdated(file.record())


def test_files_of_others_are_neither_listed_nor_removed(tmp_path: Path, zips: list[Path]) -> None:
    own = ["notes.json", "model.weights", "a" * 31 + ".json", "A" * 32 + ".weights", "a" * 32 + ".txt"]
    for name in own:
        (tmp_path / name).write_text("mine")
    sweep_packed(tmp_path, keep="", room=packed_files.MOST_BYTES)
    assert found_in(tmp_path) == []
    assert all((tmp_path / name).read_text() == "mine" for name in own)


def test_a_bundle_that_was_moved_is_noted(tmp_path: Path, zips: list[Path]) -> None:
    file = put(tmp_path / "weights", NAMES[0], zips[0], used=1)
    moved = PackedProgram(tmp_path / "model.pte", 10, "0" * 64, zips[1])
    assert file.is_intact(moved)
    file.mark_used(moved)
    record = file.record()
    assert record
    assert record.bundle == str(zips[1])
    assert file.used_at() > 1
    assert file.is_intact(moved)


def test_the_name_depends_on_program_engine_and_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    program = PackedProgram(Path("model.pte"), 10, "0" * 64, Path("a.mvlm"))
    names = {program.name, PackedProgram(Path("b.pte"), 11, "0" * 64, Path("b.mvlm")).name}
    assert len(names) == 1
    names.add(PackedProgram(Path("model.pte"), 10, "1" * 64, Path("a.mvlm")).name)
    for change in (("version", lambda package: "1.5.2"), ("_cpu", lambda: ["another"])):
        with monkeypatch.context() as patch:
            patch.setattr(packed_files, *change)
            names.add(program.name)
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


def test_the_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(packed_files.SETTING, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "mobilevlm-kit" / "packed-weights"
    monkeypatch.setenv(packed_files.SETTING, "here")
    assert weights_folder() == Path.cwd() / "here"
    monkeypatch.setenv(packed_files.SETTING, "off")
    assert weights_folder() is None
