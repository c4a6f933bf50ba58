"""A bundle is written completely or not at all, and opened only if every byte matches the manifest."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mobilevlm_export.bundle.manifest import FORMAT_VERSION, MANIFEST, read_manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import new_bundle, rewritten_bundle, zip_bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_export.files.atomic_file import Staged


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "copy.mvlm"
    shutil.copytree(tiny_bundle.path, folder)
    return folder


def test_the_manifest_has_everything_a_phone_needs(tiny_bundle: Bundle) -> None:
    values = tiny_bundle.manifest.values
    assert values["image"] == {
        "size": 56,
        "tokens": 4,
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "pad_color": [122, 116, 104],
        "resample": "pillow-bicubic-8bit",
    }
    assert values["format_version"] == FORMAT_VERSION == 2
    assert values["prompt"]["before_image"].endswith("USER: ")
    assert values["prompt"]["after_image"] == "\n{question} ASSISTANT:"
    assert values["prompt"]["stop_ids"] == [2]
    assert values["artifacts"]["executorch"]["file"] == "model.pte"
    assert values["artifacts"]["executorch"]["methods"]["text_decoder"]["delegates"] > 0
    assert values["memory"]["bytes"] == sum(values["memory"][key] for key in ("program", "kv_cache", "activations"))
    assert values["memory"]["kv_cache"] == 2 * 4 * 2 * 256 * 96
    assert {entry.path for entry in tiny_bundle.manifest.files} == {"model.pte", "tokenizer.model", "tokenizer.json"}
    assert tiny_bundle.config.llm.hidden_size == 96


def test_a_zipped_bundle_has_the_same_contents_and_is_cleaned_up(tiny_bundle: Bundle, tmp_path: Path) -> None:
    zipped = tmp_path / "a.mvlm.zip"
    zip_bundle(tiny_bundle.path, zipped)
    again = tmp_path / "b.mvlm.zip"
    zip_bundle(tiny_bundle.path, again)
    assert zipped.read_bytes() == again.read_bytes()
    with Bundle.open(zipped) as opened:
        folder = opened.path
        assert opened.manifest == tiny_bundle.manifest
        assert (folder / "model.pte").read_bytes() == tiny_bundle.artifact("executorch").read_bytes()
    assert not folder.exists()
    dropped = Bundle.open(zipped)
    folder = dropped.path
    assert folder.exists()
    del dropped
    assert not folder.exists()


def test_a_flipped_byte_is_refused(copy: Path) -> None:
    data = bytearray((copy / "model.pte").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.pte").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.pte: got SHA-256 .* expected .*: the file is damaged"):
        Bundle.open(copy)


def test_missing_and_truncated_files_are_named(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json: missing, expected \d+ bytes"):
        Bundle.open(copy)
    (copy / "tokenizer.json").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"tokenizer\.json: got 1 bytes, expected"):
        Bundle.open(copy)


def test_a_link_out_of_the_bundle_is_refused(copy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.move(copy / "tokenizer.json", outside)
    (copy / "tokenizer.json").symlink_to(outside)
    with pytest.raises(BundleError, match=r"tokenizer\.json: got a link to .*outside, expected a file in the bundle"):
        Bundle.open(copy)
    (copy / "tokenizer.json").unlink()
    shutil.move(outside, copy / "tokenizer.json")
    shutil.move(copy / MANIFEST, outside)
    (copy / MANIFEST).symlink_to(outside)
    with pytest.raises(BundleError, match=r"manifest\.json: got a link to .*outside, expected a file in the bundle"):
        Bundle.open(copy)


def test_archives_cannot_escape_or_grow(copy: Path, tmp_path: Path) -> None:
    escaping = tmp_path / "escaping.mvlm.zip"
    zip_bundle(copy, escaping)
    with zipfile.ZipFile(escaping, "a") as archive:
        archive.writestr("../evil", "x")
    with pytest.raises(BundleError, match=r"got the path '\.\./evil'"):
        Bundle.open(escaping)
    assert not (tmp_path.parent / "evil").exists()
    (copy / "tokenizer.json").write_bytes(bytes(1 << 20))
    growing = tmp_path / "growing.mvlm.zip"
    zip_bundle(copy, growing)
    with pytest.raises(BundleError, match=r"tokenizer\.json: got 1048576 bytes, expected \d+"):
        Bundle.open(growing)
    lying = growing.read_bytes()
    told = json.loads((copy / MANIFEST).read_text())["files"][1]["bytes"]
    assert lying.count((1 << 20).to_bytes(8, "little")) == 1  # in the local header, as in zip64
    at = lying.rindex((1 << 20).to_bytes(4, "little"))
    growing.write_bytes(lying[:at] + told.to_bytes(4, "little") + lying[at + 4 :])
    with pytest.raises(BundleError, match="got a damaged archive"):
        Bundle.open(growing)
    junk = tmp_path / "junk.mvlm.zip"
    junk.write_bytes(b"PK junk")
    with pytest.raises(BundleError, match="got a damaged archive"):
        Bundle.open(junk)


def test_an_archive_is_unpacked_only_if_the_disk_has_room(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = tmp_path / "a.mvlm.zip"
    zip_bundle(tiny_bundle.path, zipped)
    need = tiny_bundle.manifest.total_bytes
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=need - 1))
    with pytest.raises(BundleError, match=r"got .* MB free in .*, expected .* MB to unpack it \(TMPDIR"):
        Bundle.open(zipped)
    assert [each.name for each in tmp_path.iterdir()] == ["a.mvlm.zip"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=need))
    Bundle.open(zipped).close()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_stream_is_a_damaged_archive(tiny_bundle: Bundle, tmp_path: Path, method: int) -> None:
    zipped = tmp_path / "a.mvlm.zip"
    with zipfile.ZipFile(zipped, "w", method) as archive:
        for file in sorted(tiny_bundle.path.iterdir()):
            archive.write(file, file.name)
        at = archive.getinfo("model.pte").header_offset + 60
    whole = zipped.read_bytes()
    Bundle.open(zipped).close()
    zipped.write_bytes(whole[:at] + bytes(255 - byte for byte in whole[at : at + 200]) + whole[at + 200 :])
    with pytest.raises(BundleError, match="got a damaged archive") as caught:
        Bundle.open(zipped)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_only_deflate_is_unpacked(tiny_bundle: Bundle, tmp_path: Path, method: int) -> None:
    """Python's zipfile decompresses other methods in pieces of unbounded size."""
    zipped = tmp_path / "a.mvlm.zip"
    with zipfile.ZipFile(zipped, "w", method) as archive:
        for file in sorted(tiny_bundle.path.iterdir()):
            archive.write(file, file.name)
    with pytest.raises(BundleError, match=rf"manifest\.json: compression method {method}, not deflate"):
        Bundle.open(zipped)


def _write(output: Path, fill: Callable[[Path], Mapping[str, Any]], **options: bool) -> None:
    with new_bundle(output, **options) as new:
        new.seal(fill(new.folder))


def _fill_from(folder: Path) -> Any:
    def fill(beside: Path) -> Mapping[str, Any]:
        for name in ("model.pte", "tokenizer.model", "tokenizer.json"):
            shutil.copyfile(folder / name, beside / name)
        values: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        return values

    return fill


def test_an_existing_output_is_kept_unless_forced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "out.mvlm"
    _write(output, _fill_from(tiny_bundle.path))
    (output / "mark").touch()
    with pytest.raises(BundleError, match="already exists; --force replaces it"):
        _write(output, _fill_from(tiny_bundle.path))
    assert (output / "mark").exists()
    _write(output, _fill_from(tiny_bundle.path), force=True)
    assert not (output / "mark").exists()
    other = tmp_path / "documents"
    other.mkdir()
    with pytest.raises(BundleError, match="isn't a bundle, so --force doesn't replace it"):
        _write(other, _fill_from(tiny_bundle.path), force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["documents", "out.mvlm"]


def test_an_existing_zip_is_kept_unless_forced_and_never_replaced_by_another_bundle(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, zipped = tmp_path / "out.mvlm", tmp_path / "out.mvlm.zip"
    zipped.write_bytes(b"old")
    with pytest.raises(BundleError, match=r"out\.mvlm\.zip: already exists; --force replaces it"):
        _write(output, _never, zipped=True)
    _write(output, _fill_from(tiny_bundle.path))
    seen: list[tuple[bool, bytes]] = []
    put = Staged.put

    def look(place: Staged) -> None:
        seen.append((zipped.exists(), (output / MANIFEST).read_bytes()))
        put(place)
        seen.append((zipped.exists(), (output / MANIFEST).read_bytes()))

    monkeypatch.setattr(Staged, "put", look)
    before = (output / MANIFEST).read_bytes()

    def other(beside: Path) -> Mapping[str, Any]:
        return dict(_fill_from(tiny_bundle.path)(beside)) | {"kit_version": "another"}

    _write(output, other, zipped=True, force=True)
    after = (output / MANIFEST).read_bytes()
    # Whenever it is killed: either the old or the new bundle, with its own zip or none.
    assert seen == [(False, before), (False, after), (False, after), (True, after)]
    with Bundle.open(zipped) as opened:
        assert (opened.path / MANIFEST).read_bytes() == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mvlm", "out.mvlm.zip"]


def _never(beside: Path) -> Mapping[str, Any]:
    raise AssertionError("the work began")


def test_the_second_of_two_concurrent_exports_fails(tiny_bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "out.mvlm"

    def meanwhile(beside: Path) -> Mapping[str, Any]:
        _write(output, _fill_from(tiny_bundle.path), zipped=True)
        (output / "mark").touch()
        return dict(_fill_from(tiny_bundle.path)(beside))

    with pytest.raises(BundleError, match=r"out\.mvlm: already exists; --force replaces it"):
        _write(output, meanwhile)
    assert (output / "mark").exists()
    with Bundle.open(tmp_path / "out.mvlm.zip"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mvlm", "out.mvlm.zip"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.ENOSPC, "No space left on device"), BundleError),
        (BundleError("x"), BundleError),
    ],
)
def test_a_failure_leaves_the_old_bundle_and_nothing_else(
    tiny_bundle: Bundle, tmp_path: Path, failure: BaseException, expected: type[BaseException]
) -> None:
    output = tmp_path / "out.mvlm"
    _write(output, _fill_from(tiny_bundle.path))
    before = read_manifest(output / MANIFEST)

    def fail(beside: Path) -> Mapping[str, Any]:
        (beside / "model.pte").write_bytes(b"half")
        raise failure

    with pytest.raises(expected):
        _write(output, fail, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mvlm"]
    assert Bundle.open(output).manifest == before


def test_files_are_added_before_the_bundle_appears(tiny_bundle: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "out.mvlm"

    def add(bundle: Bundle, text: str) -> None:
        assert bundle.path != output
        assert bundle.artifact("executorch").is_file()
        (bundle.path / "golden").mkdir()
        (bundle.path / "golden" / text).write_text(text)

    with new_bundle(output) as new:
        add(new.seal(_fill_from(tiny_bundle.path)(new.folder)), "first")
        assert not output.exists()
    before = {entry.path for entry in Bundle.open(output).manifest.files}
    with rewritten_bundle(output, without="golden") as bundle:
        add(bundle, "second")
    after = Bundle.open(output)
    assert {entry.path for entry in after.manifest.files} == before - {"golden/first"} | {"golden/second"}
    assert [path.name for path in tmp_path.iterdir()] == ["out.mvlm"]
    # Files that the old bundle shared with the new one must not be changed.
    assert (output / "model.pte").stat().st_nlink == 1
    with pytest.raises(BundleError, match="x"), rewritten_bundle(output, without="golden"):
        raise BundleError("x")
    assert Bundle.open(output).manifest == after.manifest
    zipped = tmp_path / "out.mvlm.zip"
    zip_bundle(output, zipped)
    with (
        pytest.raises(BundleError, match="got no folder, expected a bundle"),
        rewritten_bundle(zipped, without="golden"),
    ):
        pass
