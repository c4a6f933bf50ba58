"""Packed weights are kept in a file and mapped, compute the same to the bit, and whatever goes wrong, the plain way is taken."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.dependencies.private_api import PrivateSymbol
from mobilevlm_export.errors import RunnerError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.engines import packed_files, packed_load, packed_weights
from mobilevlm_host.engines.choose import open_methods
from mobilevlm_host.engines.methods import Methods
from mobilevlm_host.engines.packed_files import SETTING, PackedFile

REFUSED = Path("/dev/null/weights")  # no folder can be made there, whoever asks


class Stages(list[str]):
    """Progress that keeps the names of its stages."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self[-1:] != [stage]:
            self.append(stage)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packed weights are kept, also those of tiny programs."""
    monkeypatch.setattr(packed_load, "SMALLEST_BYTES", 0)
    monkeypatch.setenv(SETTING, str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def packed(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packed weights of ``tiny_bundle``; the test that asks for it must not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_load, "SMALLEST_BYTES", 0)
        patch.setenv(SETTING, str(made := tmp_path_factory.mktemp("packed") / "weights"))
        assert packed_load.prepare_packed(tiny_bundle)
    return made


@pytest.fixture
def copy(packed: Path, folder: Path, tiny_bundle: Bundle) -> PackedFile:
    """Packed weights that the test may damage."""
    shutil.copytree(packed, folder)
    file = packed_load.packed_file(tiny_bundle)
    assert file
    assert file.is_intact(packed_load._program(tiny_bundle))
    return file


@pytest.fixture
def no_writer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts the writers that would be started; each fails."""
    started: list[str] = []

    def fail(program: object, new: Path, limit_s: float) -> str:
        started.append(new.name)
        return "was not started"

    monkeypatch.setattr(packed_load, "_run_writer", fail)
    return started


@pytest.fixture(scope="module")
def expected(tiny_bundle: Bundle) -> list[Tensor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SETTING, packed_files.OFF)
        return outputs(open_methods(tiny_bundle))


def outputs(methods: Methods) -> list[Tensor]:
    pixels = torch.arange(3 * 56 * 56).remainder(251).reshape(1, 3, 56, 56).to(torch.uint8)
    embeds, features = methods.vision_encoder(pixels)
    ids = methods.token_embedding(torch.tensor([[1, 5, 9]]))
    return [embeds, features, methods.text_decoder(embeds, 0), methods.text_decoder(ids, embeds.shape[1])]


def is_mapped(path: Path | None = None) -> bool:
    return (str(path) if path else ".weights") in Path("/proc/self/maps").read_text()


def loads_plainly(bundle: Bundle, expected: list[Tensor], stages: Stages | None = None) -> None:
    found = open_methods(bundle, progress=stages if stages is not None else Stages())
    assert not is_mapped()
    assert all(map(torch.equal, outputs(found), expected))


def test_the_first_load_writes_the_weights_and_says_so_and_later_ones_map_them(
    tiny_bundle: Bundle, folder: Path, expected: list[Tensor]
) -> None:
    stages = Stages()
    methods = open_methods(tiny_bundle, progress=stages)
    assert stages == [packed_load.STAGE]
    [file] = folder.glob("*.weights")
    assert {path.stem for path in folder.iterdir()} == {file.stem}
    assert file.stat().st_mode & 0o777 == 0o444
    assert is_mapped(file)
    assert all(map(torch.equal, outputs(methods), expected))
    again = open_methods(tiny_bundle, progress=stages)  # at the same time
    assert all(map(torch.equal, outputs(again), expected))
    assert stages == [packed_load.STAGE]
    del methods, again
    assert not is_mapped()


def test_a_runner_maps_the_weights_and_answers_the_same(tiny_bundle: Bundle, copy: PackedFile) -> None:
    from PIL import Image

    answers = []
    for weight_cache in (False, True):
        with Runner(tiny_bundle, weight_cache=weight_cache) as runner:
            assert is_mapped(copy.path) == weight_cache
            "".join(runner.ask(Image.new("RGB", (64, 64), "red"), "What is this?", max_new_tokens=12))
            answers.append(runner.answer)
            outputs(runner.methods())
            assert is_mapped() == weight_cache
    assert answers[0] == answers[1]
    assert not is_mapped()


def test_any_number_of_processes_map_one_file(tiny_bundle: Bundle, copy: PackedFile) -> None:
    """Whoever they run as: root could open the file for writing, and would lock it for all others."""
    open_here = open_methods(tiny_bundle)
    assert is_mapped(copy.path)
    with copy.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody has it
    # The child's pages are those that this process has, too.
    assert _child(tiny_bundle, copy) == "0 1 0 True\n"
    del open_here


_LOAD = """
import sys
from pathlib import Path
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.engines import packed_load
from mobilevlm_host.engines.choose import open_methods
packed_load.SMALLEST_BYTES = 0
stages = []
methods = open_methods(Bundle.open(sys.argv[1]), progress=lambda stage, done, total: stages.append(stage))
mapping = [part for part in Path("/proc/self/smaps").read_text().split("VmFlags") if ".weights" in part]
sizes = dict(line.split()[:2] for line in mapping[0].splitlines() if line.endswith(" kB")) if mapping else {}
is_shared = int(sizes["Shared_Clean:"]) + int(sizes["Shared_Dirty:"]) > 0
print(stages.count(packed_load.STAGE), len(mapping), int(sizes["Anonymous:"]), is_shared)
"""


def _child(bundle: Bundle, file: PackedFile) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), SETTING: str(file.path.parent)}
    command = [sys.executable, "-c", _LOAD, str(bundle.path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_two_first_starts_at_once_write_once_and_both_map(tiny_bundle: Bundle, folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), SETTING: str(folder)}
    command = [sys.executable, "-c", _LOAD, str(tiny_bundle.path)]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate()[0].split()[1] for each in both] == ["1", "1"]
    assert len(list(folder.iterdir())) == 2  # the weights and their record


def _cut(file: PackedFile) -> None:
    file.path.chmod(0o644)
    os.truncate(file.path, file.path.stat().st_size // 2)
    file.path.chmod(0o444)


def _flip(file: PackedFile) -> None:
    """One bit, with the time of the last change restored."""
    before = file.path.stat()
    file.path.chmod(0o644)
    data = bytearray(file.path.read_bytes())
    data[len(data) // 3] ^= 1
    file.path.write_bytes(data)
    file.path.chmod(0o444)
    os.utime(file.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _random(file: PackedFile) -> None:
    size = file.path.stat().st_size
    file.path.unlink()
    file.path.write_bytes(os.urandom(size))
    file.path.chmod(0o444)


def _writable(file: PackedFile) -> None:
    file.path.chmod(0o644)


def _link(file: PackedFile) -> None:
    moved = file.path.rename(file.path.with_name("elsewhere"))
    file.path.symlink_to(moved)


def _folder(file: PackedFile) -> None:
    file.path.unlink()
    file.path.mkdir()


def _fifo(file: PackedFile) -> None:
    file.path.unlink()
    os.mkfifo(file.path, 0o444)


def _other_record(file: PackedFile) -> None:
    values = json.loads(file.record_path.read_text())
    file.record_path.write_text(json.dumps(values | {"program_sha256": "0" * 64}))


def _wrong_record(file: PackedFile) -> None:
    values = json.loads(file.record_path.read_text())
    file.record_path.write_text(json.dumps(values | {"blocks": 3, "bytes": "x"}))


DAMAGE: dict[str, Callable[[PackedFile], object]] = {
    "removed": lambda file: file.path.unlink(),
    "without a record": lambda file: file.record_path.unlink(),
    "empty record": lambda file: file.record_path.write_text(""),
    "another record": _other_record,
    "wrong record": _wrong_record,
    "truncated": _cut,
    "flipped bit": _flip,
    "random": _random,
    "writable": _writable,
    "link": _link,
    "folder": _folder,
    "pipe": _fifo,
}


@pytest.mark.parametrize("setting", ["", packed_files.OFF])
def test_what_a_load_has_freed_is_returned_to_the_system(
    setting: str, tiny_bundle: Bundle, copy: PackedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1.7B that is a third of what a process with mapped weights would hold."""
    trimmed: list[bool] = []
    monkeypatch.setattr(packed_load, "trim", lambda: trimmed.append(is_mapped()))
    if setting:
        monkeypatch.setenv(SETTING, setting)
    methods = open_methods(tiny_bundle)
    assert trimmed == [not setting]
    del methods


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_as_it_was_written_is_never_mapped(
    damage: str, tiny_bundle: Bundle, copy: PackedFile, expected: list[Tensor], no_writer: list[str]
) -> None:
    DAMAGE[damage](copy)
    stages = Stages()
    loads_plainly(tiny_bundle, expected, stages)
    assert no_writer == [copy.path.name]  # it is replaced
    assert len(stages) <= 1


def test_damaged_weights_are_replaced(tiny_bundle: Bundle, copy: PackedFile, expected: list[Tensor]) -> None:
    good = copy.path.read_bytes()
    _flip(copy)
    methods = open_methods(tiny_bundle)
    assert is_mapped(copy.path)
    assert copy.path.read_bytes() == good
    assert all(map(torch.equal, outputs(methods), expected))


def test_a_disk_that_forgets_is_found_without_a_change_of_times(
    tiny_bundle: Bundle, copy: PackedFile, no_writer: list[str]
) -> None:
    record = copy.record()
    assert record
    assert len(record.blocks) == 1
    copy.keep_record(replace(record, blocks=("0" * 64,)))  # as if the block had changed
    assert packed_load.prepare_packed(tiny_bundle) is None
    assert no_writer


def test_a_file_that_was_moved_with_its_folder_is_checked_once_and_used(
    tiny_bundle: Bundle, copy: PackedFile, folder: Path, no_writer: list[str]
) -> None:
    def changed() -> tuple[int, ...]:
        record = copy.record()
        assert record
        return record.changed

    before = changed()
    copy.path.chmod(0o444)  # a change of the file's entry
    assert packed_load.prepare_packed(tiny_bundle)
    assert changed() != before
    assert no_writer == []


def test_a_file_that_another_process_has_locked_is_left_alone(
    tiny_bundle: Bundle, copy: PackedFile, expected: list[Tensor], no_writer: list[str]
) -> None:
    with copy.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        loads_plainly(tiny_bundle, expected)


@pytest.mark.parametrize(
    "place", [REFUSED, Path("/proc/weights"), Path("/", "x" * 300), Path("/", *["y" * 200] * 30)], ids=str
)
def test_a_folder_that_cannot_be_made_is_done_without(
    place: Path, tiny_bundle: Bundle, expected: list[Tensor], monkeypatch: pytest.MonkeyPatch, no_writer: list[str]
) -> None:
    monkeypatch.setenv(SETTING, str(place))
    stages = Stages()
    loads_plainly(tiny_bundle, expected, stages)
    assert stages == []
    assert no_writer == []


def test_a_long_path_works(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the 255 bytes that fit an option of the engine."""
    monkeypatch.setenv(SETTING, str(tmp_path.joinpath(*["long" * 40] * 3)))
    methods = open_methods(tiny_bundle)
    assert is_mapped()
    del methods


def test_a_read_only_folder_with_the_weights_is_enough(
    tiny_bundle: Bundle, copy: PackedFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("utime", "replace", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    copy.path.chmod(0o444)  # looks changed, and that can't be noted
    methods = open_methods(tiny_bundle)
    assert is_mapped(copy.path)
    del methods


def test_off_and_small_programs(
    tiny_bundle: Bundle, folder: Path, expected: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_load, "SMALLEST_BYTES", 1 << 30)
    loads_plainly(tiny_bundle, expected)
    monkeypatch.setattr(packed_load, "SMALLEST_BYTES", 0)
    monkeypatch.setenv(SETTING, packed_files.OFF)
    loads_plainly(tiny_bundle, expected)
    assert packed_load.packed_file(tiny_bundle) is None
    assert not folder.exists()


def _other_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(packed_weights, "SEEN_IN", "1.5.2")


def _other_machine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("platform.machine", lambda: "riscv64")


def _moved_symbol(patch: pytest.MonkeyPatch) -> None:
    moved = replace(packed_weights.SET_CACHE_FILE, name="_Z5movedv")
    assert isinstance(moved, PrivateSymbol)
    patch.setattr(packed_weights, "SET_CACHE_FILE", moved)


def _network_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(packed_load, "_disk", lambda folder: "nfs4")


def _full_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 30))


def _no_room(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(packed_load, "MOST_BYTES", 1000)


@pytest.mark.parametrize(
    "elsewhere", [_other_version, _other_machine, _moved_symbol, _network_disk, _full_disk, _no_room]
)
def test_where_it_is_not_known_to_work_nothing_is_written_or_said(
    elsewhere: Callable[[pytest.MonkeyPatch], None],
    tiny_bundle: Bundle,
    folder: Path,
    expected: list[Tensor],
    monkeypatch: pytest.MonkeyPatch,
    no_writer: list[str],
) -> None:
    elsewhere(monkeypatch)
    stages = Stages()
    loads_plainly(tiny_bundle, expected, stages)
    assert stages == []
    assert no_writer == []
    assert not folder.exists() or not list(folder.iterdir())


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces the process that writes the weights by one that runs a text, with its program and file in ``sys.argv``."""

    def replaced(code: str) -> None:
        (tmp_path / "another_writer.py").write_text(f"import os, signal, sys, time\n{code}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(packed_load, "_WRITER", "another_writer")

    return replaced


@pytest.mark.parametrize(
    "code",
    [
        "open(sys.argv[2], 'wb').write(b'half'); os.kill(os.getpid(), signal.SIGBUS)",  # a disk that fills up
        "open(sys.argv[2], 'wb').write(b'half'); os.kill(os.getpid(), signal.SIGKILL)",
        "sys.exit(1)",
        "pass",
        "time.sleep(60)",
    ],
)
def test_a_writer_that_fails_leaves_nothing_and_is_not_tried_again_soon(
    code: str,
    tiny_bundle: Bundle,
    folder: Path,
    expected: list[Tensor],
    writer: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer(code)
    monkeypatch.setattr(packed_load, "_LEAST_S", 1.0)
    stages = Stages()
    loads_plainly(tiny_bundle, expected, stages)
    [left] = folder.iterdir()
    assert json.loads(left.read_text())["failed"].startswith(("ended with", "took more"))
    loads_plainly(tiny_bundle, expected, stages)
    assert stages == [packed_load.STAGE]
    os.utime(left, (0, 0))  # long ago
    loads_plainly(tiny_bundle, expected, stages)
    assert stages == [packed_load.STAGE]
    assert left.stat().st_mtime > 0  # it was tried


def test_a_writer_on_a_full_disk_ends_alone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """On a real disk of 256 KiB: the system ends the process that has mapped a file that doesn't fit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = f'mount -t tmpfs -o size=256k tmpfs "{disk}" && "{sys.executable}" -m "$0" "$1" "{disk}/new.weights"'
    command = ["unshare", "--mount", "sh", "-c", inside, "mobilevlm_host.engines.packed_writer"]
    program = str(tiny_bundle.artifact("executorch"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("mounting needs root")
    done = subprocess.run([*command, program], env=environment, capture_output=True, check=False)
    assert done.returncode in (-signal.SIGBUS, 128 + signal.SIGBUS)


@pytest.mark.slow
def test_what_a_killed_process_was_writing_is_removed_by_the_next(
    tiny_bundle: Bundle, folder: Path, writer: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer("open(sys.argv[2], 'wb').write(b'half'); time.sleep(5)")
    code = _LOAD.replace("stages = []", "packed_load._WRITER = 'another_writer'; stages = []")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), SETTING: str(folder)}
    with subprocess.Popen([sys.executable, "-c", code, str(tiny_bundle.path)], env=environment) as killed:
        while not list(folder.glob(".packing.*/*.weights")):
            time.sleep(0.05)
            assert killed.poll() is None
        killed.kill()
    monkeypatch.setattr(packed_load, "_WRITER", "mobilevlm_host.engines.packed_writer")
    file = packed_load.prepare_packed(tiny_bundle)
    assert file
    assert sorted(folder.iterdir()) == sorted([file.path, file.record_path])


def test_another_writer_is_waited_for_only_so_long(
    tiny_bundle: Bundle, folder: Path, expected: list[Tensor], monkeypatch: pytest.MonkeyPatch, no_writer: list[str]
) -> None:
    monkeypatch.setattr(packed_load, "_LEAST_S", 0.2)
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        stages = Stages()
        loads_plainly(tiny_bundle, expected, stages)
    finally:
        os.close(descriptor)
    assert stages == [packed_load.STAGE]
    assert no_writer == []


def test_a_second_program_of_a_process_is_loaded_plainly(
    tiny_bundle: Bundle, copy: PackedFile, tmp_path: Path, expected: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_methods(tiny_bundle)
    other = shutil.copytree(copy.path.parent, tmp_path / "other")
    monkeypatch.setenv(SETTING, str(other))  # another file, as of another program
    second = open_methods(tiny_bundle)
    assert is_mapped(copy.path)
    assert not is_mapped(other)
    assert all(map(torch.equal, outputs(second), expected))
    assert all(map(torch.equal, outputs(first), expected))


def test_a_network_disk_is_not_mapped_even_with_the_weights_on_it(
    tiny_bundle: Bundle, copy: PackedFile, expected: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_load, "_disk", lambda folder: "nfs4")
    loads_plainly(tiny_bundle, expected)


def test_the_kind_of_a_disk_is_that_of_the_last_mount_at_the_longest_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packed_load._disk(Path("/proc/self")) == "proc"
    assert packed_load._disk(Path("/no/such/folder")) == packed_load._disk(Path("/"))
    mounts = (
        "22 1 0:1 / / rw - ext4 /dev/a rw\n23 22 0:2 / /home rw shared:1 - ext4 /dev/b rw\n"
        "24 22 0:3 / /home rw - nfs4 server:/ rw\n25 22 0:4 / /a\\040b rw - xfs /dev/c rw\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self, **_: mounts)
    found = [packed_load._disk(Path(place)) for place in ("/home/me", "/homes", "/a b/c", "/")]
    assert found == ["nfs4", "ext4", "xfs", "ext4"]


def test_a_load_that_fails_with_the_file_is_repeated_without(tiny_bundle: Bundle, copy: PackedFile) -> None:
    tried = []

    def load() -> str:
        tried.append(is_mapped())
        if len(tried) == 1:
            raise RunnerError("no memory to map")
        return "plainly"

    assert packed_load.load_packed(tiny_bundle, load) == "plainly"
    assert len(tried) == 2


def _privileges() -> str:
    status = Path("/proc/thread-self/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("CapEff"))


def test_privileges_and_limits_are_as_before(tiny_bundle: Bundle, copy: PackedFile) -> None:
    before = _privileges(), resource.getrlimit(resource.RLIMIT_MEMLOCK)
    open_methods(tiny_bundle)
    assert (_privileges(), resource.getrlimit(resource.RLIMIT_MEMLOCK)) == before
