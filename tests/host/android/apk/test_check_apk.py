"""An APK is checked for what a phone would miss: alignment, libraries, native methods, operators."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from unpacked import write_unpacked

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import ApkError
from mobilevlm_host.android.apk import check_apk as check
from mobilevlm_host.android.apk import dex
from mobilevlm_host.android.apk.__main__ import main
from mobilevlm_host.android.apk.archive import Apk
from mobilevlm_host.android.apk.dex import NativeMethod
from mobilevlm_host.android.apk.elf import SharedLibrary
from mobilevlm_host.android.apk.pack_bundle import pack
from mobilevlm_host.android.apk.packed_program import program_needs

METHOD = NativeMethod("org/pytorch/executorch/Module", "execute", "(Ljava/lang/String;)I")


def library(
    *,
    needed: tuple[str, ...] = ("libc.so",),
    exports: tuple[str, ...] = (),
    texts: tuple[str, ...] = (),
    alignment: int = 16_384,
    machine: int = 183,
) -> bytes:
    """The least ELF file that Android's loader could be asked to load: two segments and a table of symbols."""
    strings = b"\0"
    offsets = {}
    for text in (*needed, *exports):
        offsets[text] = len(strings)
        strings += text.encode() + b"\0"
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", offsets[name], 18, 0, 1, 0, 0) for name in exports)
    constants = b"".join(text.encode() + b"\0" for text in texts)
    at = 64 + 2 * 56
    tables = {}
    body = b""
    for name, data in (("strings", strings), ("symbols", symbols), ("constants", constants)):
        tables[name] = at + len(body)
        body += data + bytes(-len(data) % 8)
    dynamic = [(1, offsets[name]) for name in needed] + [
        (5, tables["strings"]),
        (10, len(strings)),
        (6, tables["symbols"]),
        (0, 0),
    ]
    dynamic_at = at + len(body)
    body += b"".join(struct.pack("<qQ", *entry) for entry in dynamic)
    sections_at = at + len(body)
    section = struct.pack("<IIQQQQIIQQ", 0, 11, 0, tables["symbols"], tables["symbols"], len(symbols), 0, 0, 8, 24)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, 2, 64, 1, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, sections_at, sections_at, alignment)
    dynamics = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, 0, 16 * len(dynamic), 16 * len(dynamic), 8)
    return header + load + dynamics + body + section


def apk(folder: Path, libraries: dict[str, bytes]) -> Path:
    """Packed as ``make apk`` does, with a dex that nothing reads."""
    resources = folder / "resources.apk"
    with zipfile.ZipFile(resources, "w") as archive:
        archive.writestr("AndroidManifest.xml", b"manifest" * 9)
        archive.writestr("resources.arsc", b"table")
    files = {}
    for name, data in {"classes.dex": b"dex", **libraries}.items():
        files[name] = folder / name.replace("/", "-")
        files[name].write_bytes(data)
    pack(folder / "app.apk", resources, files)
    return folder / "app.apk"


@pytest.fixture(autouse=True)
def one_native_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "native_methods", lambda data: [METHOD])


def wrong(path: Path, program: Path | None = None) -> list[str]:
    return [line for finding in check.check_apk(path, program) for line in finding.wrong]


def test_a_library_is_read_like_the_loader_reads_it() -> None:
    read = SharedLibrary(
        "lib.so", library(needed=("libc.so", "libfbjni.so"), exports=("JNI_OnLoad",), texts=("aten::add.out",))
    )
    assert (read.needed, read.exports, read.alignment, read.machine) == (
        ["libc.so", "libfbjni.so"],
        {"JNI_OnLoad"},
        16_384,
        183,
    )
    assert read.has_string("aten::add.out")
    assert read.has_string("add.out")  # the end of a longer text, as linkers merge them
    assert not read.has_string("aten::add")


def test_packed_libraries_begin_at_pages_and_are_not_compressed(tmp_path: Path) -> None:
    path = apk(tmp_path, {"lib/arm64-v8a/liba.so": b"a" * 100, "lib/arm64-v8a/libb.so": b"b" * 20_000})
    with Apk(path) as opened:
        assert opened.misaligned() == []
        assert opened.compressed() == []
        assert opened.read("lib/arm64-v8a/libb.so") == b"b" * 20_000


def test_an_archive_of_another_tool_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.apk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lib/arm64-v8a/liba.so", library())
        archive.writestr("resources.arsc", b"table", zipfile.ZIP_DEFLATED)
    lines = wrong(path)
    assert any(line.startswith("lib/arm64-v8a/liba.so at ") for line in lines)
    assert "resources.arsc" in lines


def test_a_complete_engine_passes(tmp_path: Path, tiny_bundle: Bundle) -> None:
    program = tiny_bundle.artifact("executorch")
    needs = program_needs(program)
    assert "llama::custom_sdpa.out" in needs.operators
    assert needs.backends == {"XnnpackBackend"}
    all_texts = (*needs.operators, *needs.backends, METHOD.name, METHOD.type, f"L{METHOD.owner};")
    path = apk(tmp_path, {"lib/arm64-v8a/libexecutorch.so": library(texts=all_texts)})
    assert wrong(path, program) == []


def test_a_program_whose_constants_engines_free_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "model.pte"
    write_unpacked(program)
    needs = program_needs(program)
    texts = (*needs.operators, *needs.backends, METHOD.name, METHOD.type, f"L{METHOD.owner};")
    path = apk(tmp_path, {"lib/arm64-v8a/libexecutorch.so": library(texts=texts)})
    assert wrong(path, program) == ["forward: XNNMultiply reads a constant [32] in place, in delegate 0"]


@pytest.mark.parametrize(
    "missing", ["llama::custom_sdpa.out", "XnnpackBackend", "execute", "(Ljava/lang/String;)I", "libother.so"]
)
def test_what_is_missing_is_named(tmp_path: Path, tiny_bundle: Bundle, missing: str) -> None:
    program = tiny_bundle.artifact("executorch")
    needs = program_needs(program)
    texts = {*needs.operators, *needs.backends, METHOD.name, METHOD.type, METHOD.owner} - {missing}
    needed = ("libc.so", missing) if missing.endswith(".so") else ("libc.so",)
    path = apk(tmp_path, {"lib/arm64-v8a/libexecutorch.so": library(texts=tuple(texts), needed=needed)})
    (line,) = wrong(path, program)
    assert missing in line


def test_an_exported_method_needs_no_registration(tmp_path: Path) -> None:
    path = apk(
        tmp_path, {"lib/x86_64/liba.so": library(exports=("Java_org_pytorch_executorch_Module_execute",), machine=62)}
    )
    assert wrong(path) == []


def test_a_library_for_small_pages_or_another_processor_is_refused(tmp_path: Path) -> None:
    exports = ("Java_org_pytorch_executorch_Module_execute",)
    path = apk(tmp_path, {"lib/arm64-v8a/liba.so": library(alignment=4096, machine=62, exports=exports)})
    assert wrong(path) == ["liba.so is not for arm64-v8a", "liba.so: segments at 4096 bytes"]


def test_native_methods_are_found_in_a_listing() -> None:
    listing = """
  Class descriptor  : 'Lorg/pytorch/executorch/Module;'
    #0              : (in Lorg/pytorch/executorch/Module;)
      name          : 'execute'
      type          : '(Ljava/lang/String;)I'
      access        : 0x0102 (PRIVATE NATIVE)
    #1              : (in Lorg/pytorch/executorch/Module;)
      name          : 'destroy'
      type          : '()V'
      access        : 0x0001 (PUBLIC)
"""
    assert dex._natives(listing) == [METHOD]
    assert NativeMethod("a/B_c", "d", "()V").symbol == "Java_a_B_1c_d"


def test_the_command_reports_the_problem_and_fails(tmp_path: Path, tiny_bundle: Bundle) -> None:
    path = apk(tmp_path, {"lib/arm64-v8a/liba.so": library()})
    run = CliRunner().invoke(main, [str(path), str(tiny_bundle.path), "--json"])
    told = json.loads(run.stdout)
    assert (run.exit_code, told["ok"]) == (1, False)
    assert any("operators" in finding["what"] and finding["wrong"] for finding in told["findings"])
    assert "✗" in CliRunner().invoke(main, [str(path)]).stdout


@pytest.mark.parametrize("name", ["missing.apk", "text.apk"])
def test_a_file_that_is_not_an_apk_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.apk").write_text("text")
    run = CliRunner().invoke(main, [str(tmp_path / name)])
    assert run.exit_code == 1
    assert "expected an APK" in run.stderr
    with pytest.raises(ApkError, match="expected an ExecuTorch program"):
        program_needs(tmp_path / "text.apk")
