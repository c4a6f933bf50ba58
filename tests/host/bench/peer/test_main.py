"""``python -m mobilevlm_host.bench.peer`` and ``make bench``: mistakes are one-line errors before any long work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_llama_cpp import FakeLlamaCpp
from repository import ROOT
from tiny import TINY

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.config import PRESETS
from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.progress import Progress
from mobilevlm_host.bench.peer import comparison
from mobilevlm_host.bench.peer import peer_files as files
from mobilevlm_host.bench.peer.__main__ import main
from mobilevlm_host.bench.peer.peer_files import LlamaCppFiles


@pytest.fixture(autouse=True)
def _peer(llama_cpp: FakeLlamaCpp, monkeypatch: pytest.MonkeyPatch) -> None:
    llama_cpp.install(monkeypatch)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the start of any long work fail."""
    monkeypatch.setattr(files, "synth_checkpoint", lambda *_, **__: pytest.fail("made a checkpoint"))
    monkeypatch.setattr(files, "write_language_model", lambda *_: pytest.fail("wrote GGUF"))
    monkeypatch.setattr(comparison, "in_child", lambda *_: pytest.fail("measured"))


@pytest.fixture
def mistakes(
    tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> dict[tuple[Any, ...], str]:
    """Arguments, and the expected error messages."""
    folder, file, weightless = (tmp_path / name for name in ("folder", "file", "weightless"))
    folder.mkdir()
    file.write_text("text")
    weightless.mkdir()
    for kept in ("config.json", "tokenizer.model"):
        shutil.copy(tiny_checkpoint / kept, weightless)
    linear = tmp_path / "linear"
    shutil.copytree(tiny_checkpoint, linear)
    config = json.loads((linear / "config.json").read_text())
    (linear / "config.json").write_text(json.dumps(config | {"mm_projector_type": "linear"}))
    damaged = tmp_path / "damaged.mvlm"
    shutil.copytree(tiny_bundle.path, damaged)
    (damaged / "tokenizer.model").write_bytes(b"")
    bundle = ("--bundle", tiny_bundle.path)
    return {
        ("1.8b",): f"1.8b: no such folder, expected demo, {', '.join(PRESETS)} or a checkpoint's folder",
        ("mtgv/MobileVLM_V2-1.7B",): "mtgv/MobileVLM_V2-1.7B: no such folder, expected demo,",
        (file,): f"{file}: no such folder, expected demo,",
        (folder,): f"{folder}/config.json: no such file, expected a checkpoint's configuration",
        (linear,): f"{linear}: got the projector linear on 4 × 4 patches, which llama.cpp doesn't compute; expected",
        (weightless,): f"{weightless}: got no weights, expected one of model.safetensors,",
        (tiny_checkpoint, "--bundle", folder / "absent.mvlm"): "absent.mvlm: no such bundle, expected",
        (tiny_checkpoint, "--bundle", folder): f"{folder}/manifest.json: no such file",
        (tiny_checkpoint, "--bundle", file): "file: ",
        (tiny_checkpoint, "--bundle", damaged): "tokenizer.model: got 0 bytes, expected ",
        (tiny_checkpoint, "--bundle", tiny_coreml_bundle.path): "got artifacts for coreml, expected executorch",
        ("demo", *bundle): f"got a bundle of another checkpoint, expected one of {DEMO_CHECKPOINT}",
        (tiny_checkpoint, "--work", file): f"{file}: File exists",
        (tiny_checkpoint, *bundle, "--work", file / "in"): f"{file}/in: Not a directory",
        # A path that not even root can write to.
        (tiny_checkpoint, "--work", "/proc/self/fd"): "/proc/",
        (tiny_checkpoint, *bundle, "--work", "/proc/self/fd"): "/proc/",
    }


@pytest.mark.usefixtures("unmeasured")
def test_a_mistake_is_one_line_and_leaves_nothing(mistakes: dict[tuple[Any, ...], str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    for arguments, said in mistakes.items():
        done = run("--work", work, *arguments)
        assert (done.exit_code, done.stdout) == (1, ""), (arguments, done.output, done.exception)
        *steps, last = done.stderr.splitlines()
        assert last.startswith("Error: "), arguments
        assert said in last, (arguments, last)
        assert not [step for step in steps if "Traceback" in step or "Error" in step]
        assert not work.exists() or ("no such folder" not in said and list(work.iterdir()) == []), arguments
        shutil.rmtree(work, ignore_errors=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "0"], "'--rounds': 0 is not in the range"),
        (["--rounds", "few"], "'--rounds': 'few' is not a valid integer"),
        (["--threads", "0"], "'--threads': 0 is not in the range"),
        (["a", "folder"], "unexpected extra argument (folder)"),
    ],
)
@pytest.mark.usefixtures("unmeasured")
def test_an_option_out_of_its_range_is_named(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert said in done.stderr.splitlines()[-1]


def run_alone(modules: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a separate process, with ``modules`` (Python source of each) replacing installed ones."""
    set_up = "".join(f"sys.modules['{name}'] = {module}; " for name, module in modules.items())
    program = f"import sys; {set_up}from mobilevlm_host.bench.peer.__main__ import main; main({arguments!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.slow
def test_libraries_print_nothing_else() -> None:
    said = f"Error: 1.8b: no such folder, expected demo, {', '.join(PRESETS)} or a checkpoint's folder\n"
    assert run_alone({"llama_cpp": "sys", "llama_cpp.mtmd_cpp": "sys"}, "1.8b") == (1, said)


@pytest.mark.parametrize("hidden", ["llama_cpp.mtmd_cpp", "gguf"])
def test_without_the_peer_one_line_explains_how_to_install_it(hidden: str) -> None:
    modules = {"llama_cpp": "sys", "llama_cpp.mtmd_cpp": "sys", hidden: "None"}
    said = f"{hidden} can't be imported (import of {hidden} halted; None in sys.modules)"
    how = "make bench installs it (about 15 minutes, once), or: pip install -e '.[bench]'"
    assert run_alone(modules) == (1, f"Error: llama.cpp: {said}; {how}\n")


@pytest.mark.usefixtures("unmeasured")
def test_a_peer_of_another_machine_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise RuntimeError("Failed to load shared library 'libllama.so': libgomp.so.1\nmore")

    monkeypatch.setattr("mobilevlm_host.bench.peer.require_peer.import_module", load)
    done = run()
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    said = (
        "llama_cpp.mtmd_cpp can't be imported (Failed to load shared library 'libllama.so': libgomp.so.1); make bench"
    )
    assert line.startswith(f"Error: llama.cpp: {said} ")


def test_an_engine_that_fails_is_one_line(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RunnerError("model.gguf: llama.cpp can't load it (out of luck)")

    monkeypatch.setattr(comparison, "in_child", fails)
    done = run(tiny_checkpoint, "--bundle", tiny_bundle.path, "--work", tmp_path / "work")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "Error: model.gguf: llama.cpp can't load it (out of luck)"


class Asked:
    """Replaces the bundle and the comparison, and records their arguments."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.checkpoint, self.given, self.rounds, self.threads, self.questions = Path(), Path(), 0, 0, 0

    @contextmanager
    def bundle_of(self, checkpoint: Path, given: Path | None, work: Path, progress: Progress) -> Iterator[Bundle]:
        self.given = given
        yield self._bundle

    def compare(
        self,
        checkpoint: Path,
        bundle: Bundle,
        peers: list[LlamaCppFiles],
        *,
        threads: int,
        rounds: int,
        questions: int,
        progress: Progress,
    ) -> Any:
        self.checkpoint, self.threads, self.rounds, self.questions = checkpoint, threads, rounds, questions
        figures = {"load_s": 0.5} | dict.fromkeys(("prefill_tok_s", "decode_tok_s"), 8.0)

        def child(module: str, request: dict[str, Any]) -> Any:
            limits = {"memory_bytes_s": 1e6, "int8_ops_s": 1e9}
            return (
                limits
                if module == "mobilevlm_host.bench.peer.machine_limits"
                else dict.fromkeys(REPORTED, 2.0) | figures
            )

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(comparison, "in_child", child)
            return _compare(checkpoint, bundle, peers, threads=threads, rounds=rounds)


_compare = comparison.compare
REPORTED = (
    "load_s", "first_ttft_s", "ttft_s", "ttft_prepared_s", "image_encode_s", "prefill_tok_s", "decode_tok_s",
    "peak_memory_bytes", "own_memory_bytes",
)  # fmt: skip


@pytest.fixture
def asked(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked(tiny_bundle)
    monkeypatch.setattr(files, "bundle_of", made.bundle_of)
    monkeypatch.setattr(comparison, "compare", made.compare)
    monkeypatch.setattr("mobilevlm_host.bench.peer.comparison_report.version", lambda name: f"{name} 1")
    return made


def test_the_requested_bundle_and_options_are_measured(
    asked: Asked, tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    done = run(
        tiny_checkpoint, "--bundle", tiny_bundle.path, "--rounds", 3, "--threads", 2, "--work", tmp_path / "a", "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["rounds"], found["threads"]) == (TINY.name, 3, 2)
    assert found["machine"]["llama_cpp_python"] == "llama-cpp-python 1"
    assert [system["name"] for system in found["systems"]] == ["mvlm fp32", "Q4_0 + F16", "Q4_K_M + Q8_0"]
    assert found["systems"][0]["figures"]["load_s"]["samples"] == [0.5] * 3
    assert found["ratios"]["Q4_0 + F16"]["decode_tok_s"]["median"] == 1
    assert (asked.checkpoint, asked.given, asked.questions) == (tiny_checkpoint, tiny_bundle.path, 0)
    assert [path.name.partition("-")[0] for path in (tmp_path / "a").iterdir()] == ["gguf"]


def test_the_table_is_printed(asked: Asked, tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = run(tiny_checkpoint, "--threads", 2, "--work", tmp_path / "a")
    assert done.exit_code == 0, done.output
    assert "mvlm fp32 and llama.cpp, 2 threads, 5 interleaved rounds" in " ".join(done.stdout.split())
    assert asked.given is None


def test_the_demos_answers_are_compared_too(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "llama_cpp_files", lambda *_: [])
    assert run("--work", tmp_path, "--json").exit_code == 0
    assert (asked.checkpoint, asked.questions) == (DEMO_CHECKPOINT, 200)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_make_bench_passes_its_arguments(tmp_path: Path, exit_code: int) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nprintf "<%s>" "$@"\nexit {exit_code}\n')
    python.chmod(0o755)
    for ready in (".ready", ".bench-ready"):
        (tmp_path / ready).touch()
    for sizes, said in (
        (["SIZE=my models/1.7b"], "<mobilevlm_host.bench.peer><my models/1.7b>"),
        (["SIZE="], "<mobilevlm_host.bench.peer>"),
        ([], "<mobilevlm_host.bench.peer>"),
        (["QUALITY=1"], "<mobilevlm_host.bench.peer.quality>"),
    ):
        command = ["make", "bench", f"VENV={tmp_path}", *sizes]
        path = {"PATH": os.environ["PATH"]}  # nothing else of the make that may run this test
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=path)
        assert done.stdout == f"<-m>{said}"
        assert (done.returncode != 0) == (exit_code != 0)


def test_make_bench_compiles_llama_cpp_with_its_tool_once(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "lib/python3.11/site-packages/llama_cpp/lib/llama-imatrix"
    pip = f'echo "$CMAKE_ARGS / $*" >> {tmp_path}/log; mkdir -p {tool.parent}; case $* in *llama*) touch {tool};; esac'
    for name, program in (("pip", pip), ("python", ""), ("cmake", ""), ("g++", "")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / ".ready").touch()
    path = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run(["make", "bench", f"VENV={tmp_path}"], capture_output=True, check=True, cwd=ROOT, env=path)
        (tmp_path / ".bench-ready").unlink()  # as if the packages had changed
    compiled, *others = (tmp_path / "log").read_text().splitlines()
    include = f"'-DCMAKE_PROJECT_llama_cpp_INCLUDE={ROOT}/scripts/llama_cpp_tools.cmake'"
    assert compiled.startswith(f"-DGGML_NATIVE=ON {include} / install ")
    assert compiled.endswith(" --no-cache-dir --force-reinstall --no-deps llama-cpp-python")
    assert [line.split()[-1] for line in others] == [".[dev,bench]"] * 2
