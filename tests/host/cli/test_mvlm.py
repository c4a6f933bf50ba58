"""The commands as a user types them: answers on stdout, mistakes in one line, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from repository import GOLDEN
from unpacked import write_unpacked

from mobilevlm_export import __version__
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.bundle.write import new_bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.checkpoint.save import save_checkpoint
from mobilevlm_export.quantize.recipe import RECIPES
from mobilevlm_host.cli.mvlm import main


def _run(*arguments: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


def test_version_and_help() -> None:
    assert _run("--version").stdout == f"mvlm, version {__version__}\n"
    for command in (
        "ask", "bench", "completion", "demo", "export", "golden", "inspect", "parity", "push", "replay", "serve", "synth", "train",
        "verify",
    ):  # fmt: skip
        shown = _run(command, "--help")
        assert shown.exit_code == 0
        assert "Examples:" in shown.stdout, command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_MVLM_COMPLETE" in _run("completion", shell).stdout


def test_synth_copies_a_checkpoint_with_outliers(tmp_path: Path) -> None:
    done = _run("synth", "demo", "-o", tmp_path / "loud", "--outliers", 50, "--places", "norm,mlp")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"Wrote {tmp_path / 'loud'}: a copy of demo; outliers of 50 in norm, mlp\n"
    refused = _run("synth", "demo", "-o", tmp_path / "other")
    assert refused.exit_code == 2
    assert "expected 1.7b, 3b, 7b, v1-1.7b, v1-3b, llava-1.5-7b, or a checkpoint with --outliers" in refused.stderr


def test_ask_json_is_one_object(tiny_bundle: Bundle, picture: Path) -> None:
    done = _run("ask", tiny_bundle.path, picture, "What is this?", "--json", "--max-new-tokens", 5)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer) == {"answer", "token_ids", "stop_reason", "stats", "bundle", "backend"}
    assert len(answer["token_ids"]) <= 5
    assert answer["stop_reason"] in ("eos", "length")
    assert answer["stats"]["prompt_tokens"] > answer["stats"]["generated_tokens"]
    streamed = _run("ask", tiny_bundle.path, picture, "What is this?", "--max-new-tokens", 5)
    assert streamed.stdout == answer["answer"] + "\n"


def test_choosing_threads_shows_nothing(tiny_bundle: Bundle, picture: Path) -> None:
    command = "from mobilevlm_host.cli.mvlm import main; main()"
    asked = ("ask", tiny_bundle.path, picture, "What is this?", "--max-new-tokens", "3", "--threads", "1", "--json")
    done = subprocess.run([sys.executable, "-c", command, *asked], capture_output=True, text=True, check=True)
    assert ".cpp" not in done.stderr  # as C++'s lines about the CPU begin
    assert "cpu" not in done.stderr.lower()


def test_ask_reads_a_picture_from_standard_input(tiny_bundle: Bundle, picture: Path) -> None:
    question = (tiny_bundle.path, "-", "What is this?", "--max-new-tokens", 5)
    piped = _run("ask", *question, stdin=picture.read_bytes())
    assert piped.stdout == _run("ask", tiny_bundle.path, picture, *question[2:]).stdout


def test_a_question_that_is_not_utf_8_is_one_line(tiny_bundle: Bundle, picture: Path) -> None:
    refused = _run("ask", tiny_bundle.path, picture, "caf\udce9?")
    assert refused.exit_code == 1
    assert refused.stderr.endswith("question: got '\\udce9' at character 4, expected text in UTF-8\n")
    chat = CliRunner().invoke(main, ["ask", str(tiny_bundle.path), str(picture)], input=b"caf\xe9?\nWhat is this?\n")
    assert chat.exit_code == 0, chat.output
    assert "Error: question: got '\\udce9' at character 4" in chat.stderr
    assert chat.stdout.strip()


def test_a_conversation_continues_after_a_bad_question(tiny_bundle: Bundle, picture: Path) -> None:
    asked = ("What is this?\n" + "word " * 300 + "\nHow many?\n\n").encode()
    done = _run("ask", tiny_bundle.path, picture, "--max-new-tokens", 4, stdin=asked)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("Error: question: got a prompt of") == 1
    assert len(done.stdout) > 2


def test_export_writes_a_bundle_that_verifies(tiny_checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.mvlm"
    done = _run(
        "export",
        tiny_checkpoint,
        "-o",
        output,
        "--recipe",
        "int8",
        "--llm",
        "int4",
        "--lm-head",
        "int8",
        "--zip",
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["quantization"]["recipe"]["llm"] == "int4"
    assert summary["quantization"]["recipe"]["lm_head"] == "int8"
    for path in (output, output.with_name("a.mvlm.zip")):
        assert "all match the manifest" in _run("verify", path).stdout
    again = _run("export", tiny_checkpoint, "-o", output)
    assert again.exit_code == 1
    assert again.stderr.strip() == f"Error: {output}: already exists; --force replaces it"


def test_one_bundle_for_both_phones(tiny_checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "both.mvlm"
    done = _run("export", tiny_checkpoint, "-o", output, "--backend", "executorch, coreml", "--zip", "--no-golden")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"programs +executorch [\d.]+ [kM]B, coreml [\d.]+ [kM]B", done.stdout)
    for path in (output, output.with_name("both.mvlm.zip")):
        assert "all match the manifest" in _run("verify", path).stdout
    with Bundle.open(output.with_name("both.mvlm.zip")) as bundle:
        values = bundle.manifest.values
    for left in values["quantization"]["unquantized"]:
        assert re.search(rf"not quantized: {left['component']} +{left['what']}", done.stdout)
    artifacts = values["artifacts"]
    assert list(artifacts) == ["executorch", "coreml"]
    assert artifacts["executorch"]["file"] == "model.pte"
    assert values["context"] == {"max_context": 256, "max_prefill": 256}
    assert values["memory"]["bytes"] == max(made["memory"]["bytes"] for made in artifacts.values())
    [weights] = (output / "text_decoder.mlpackage").rglob("weight.bin")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert re.search(r"text_decoder\.mlpackage/.*weight\.bin: got SHA-256", _run("verify", output).stderr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backend", "tflite"), "got 'tflite', expected executorch or coreml"),
        (("--backend", "executorch,"), "got '', expected executorch or coreml"),
        (("--coreml-cache-update", "one-hot"), "--coreml-cache-update requires --backend coreml"),
    ],
)
def test_a_missing_backend_is_a_usage_error(
    tiny_checkpoint: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = _run("export", tiny_checkpoint, "-o", tmp_path / "x.mvlm", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_leaves_nothing_and_keeps_what_was_there(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path / "a.mvlm"
    shutil.copytree(tiny_bundle.path, output)
    cache = tmp_path_factory.mktemp("cache")
    # Where the tests run in the background of a shell, a child would ignore Ctrl-C.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from mobilevlm_host.cli.mvlm import main; main(prog_name='mvlm')"
    )
    command = [sys.executable, "-c", start, "export", str(tiny_checkpoint), "-o", str(output), "--force"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("delegate"):
                break
        assert len(list(tmp_path.iterdir())) == 2  # the old one, and the new one in the making
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert (said, errors.split()[-1]) == ("", "Aborted!")
    assert "Traceback" not in errors
    kept = list(cache.rglob("llm.layers.*.safetensors"))
    assert f"Interrupted: {len(kept)} calibrated weights are kept" in errors
    assert len(kept) == 14  # seven linears in each of two layers
    assert [path.name for path in tmp_path.iterdir()] == ["a.mvlm"]
    assert Bundle.open(output).manifest.values == tiny_bundle.manifest.values


def test_parity_passes_and_fails_by_its_exit_code(
    tiny_bundle: Bundle, tiny_checkpoint: Path, picture: Path, tmp_path: Path
) -> None:
    arguments = ("parity", tiny_checkpoint, tiny_bundle.path, "--images", picture.parent)
    done = _run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["verdict"], report["first_divergence"]) == ("pass", None)
    assert next(iter(report["stages"])) == "pixels"
    assert "over 1 samples of 32 decoded tokens; none of 1 answers differs from fp32's" in _run(*arguments).stdout

    weights = load_checkpoint(tiny_checkpoint)
    weights.token_embedding.weight.data *= 1.5
    tokenizer_model = tiny_checkpoint / "tokenizer.model"
    save_checkpoint(weights, tmp_path / "other", tokenizer_model=tokenizer_model, dtype=torch.float32)
    other = ("parity", tmp_path / "other", tiny_bundle.path, "--images", picture.parent)
    refused = _run(*other)
    assert refused.exit_code == 1
    assert "--force compares them anyway" in refused.stderr
    page = tmp_path / "report.html"
    forced = _run(*other, "--force", "--json", "--report", page)
    assert forced.exit_code == 1
    assert json.loads(forced.stdout)["first_divergence"] == "token_embedding"
    assert "<code>token_embedding</code> is the first stage beyond its limits" in page.read_text()
    assert "not the one that the bundle was made from" in page.read_text()
    refused = _run(*arguments, "--report", picture)
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "exists and isn't a parity report" in refused.stderr


def test_golden_and_replay_name_what_differs_by_their_exit_code(
    tiny_bundle: Bundle, picture: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(tiny_bundle.path, tmp_path / "tiny.mvlm")
    missing = _run("golden", bundle, "--check")
    assert missing.exit_code == 1
    assert "expected golden records; make them: mvlm golden BUNDLE" in missing.stderr
    assert json.loads(_run("golden", bundle, "--json").stdout)["records"] == 3
    checked = json.loads(_run("golden", bundle, "--check", "--json").stdout)["checked"]
    assert [found["differs"] for found in checked.values()] == ["none"] * 3
    assert "differs here" in _run("golden", bundle, "--check").stdout

    capture = tmp_path / "capture.zip"
    asked = _run("ask", bundle, picture, "What is this?", "--max-new-tokens", 5, "--capture", capture)
    assert asked.exit_code == 0, asked.stderr
    replayed = json.loads(_run("replay", capture, bundle, "--json").stdout)
    assert (replayed["differs"], replayed["answer"] + "\n") == ("none", asked.stdout)
    assert replayed["backend"] == "executorch"
    elsewhere = _run("replay", capture, bundle, "--backend", "coreml")
    assert elsewhere.exit_code == 1
    assert "coreml" in elsewhere.stderr
    assert "differs: none" in _run("replay", capture, bundle).stdout
    refused = _run("replay", capture, tiny_bundle.path)
    assert refused.exit_code == 1
    assert "--force replays it anyway" in refused.stderr
    assert _run("ask", bundle, picture, "--capture", capture).exit_code == 2

    with zipfile.ZipFile(capture) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    values = json.loads(members["capture.json"])
    values["record"]["ids_after_image"].append(3)
    members["capture.json"] = json.dumps(values).encode()
    with zipfile.ZipFile(capture, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    wrong = _run("replay", capture, bundle)
    assert wrong.exit_code == 1
    assert "differs: tokenizer" in wrong.stdout


def test_verify_refuses_a_damaged_bundle(tiny_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mvlm"
    broken.mkdir()
    for file in tiny_bundle.path.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "tokenizer.json").write_text("{}")
    done = _run("verify", broken)
    assert done.exit_code == 1
    assert "tokenizer.json: got 2 bytes" in done.stderr


def _copied(bundle: Bundle, folder: Path, change: Callable[[Path], dict[str, Any]]) -> Path:
    """``bundle`` in ``folder``, its files changed by ``change``, which gives what else the manifest then says."""
    output = folder / "copied.mvlm"
    with new_bundle(output) as new:
        shutil.copytree(bundle.path, new.folder, dirs_exist_ok=True)
        new.seal(bundle.manifest.values | change(new.folder))
    return output


def test_verify_refuses_a_program_whose_constants_phones_free(tiny_bundle: Bundle, tmp_path: Path) -> None:
    def change(folder: Path) -> dict[str, Any]:
        write_unpacked(folder / "model.pte")
        return {}

    done = _run("verify", _copied(tiny_bundle, tmp_path, change))
    assert done.exit_code == 1
    assert re.search(r"model\.pte: forward: XNNMultiply reads a constant \[32\] in place", done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        "ask {old} {picture} What?",
        "bench {old}",
        "evaluate {old} --benchmark demo --limit 1",
        "golden {old}",
        "parity {checkpoint} {old}",
        "parity {checkpoint} {old} --layers",
        "replay {capture} {old} --force",
        "verify {old}",
    ],
)
def test_an_executorch_program_of_format_1_is_refused(
    tiny_bundle: Bundle, tiny_checkpoint: Path, picture: Path, tmp_path: Path, arguments: str
) -> None:
    old = _copied(tiny_bundle, tmp_path, lambda folder: {"format_version": 1})
    capture = GOLDEN / "capture" / "android.zip"
    places = {"old": old, "picture": picture, "checkpoint": tiny_checkpoint, "capture": capture}
    done = _run(*(argument.format(**places) for argument in arguments.split()))
    assert done.exit_code == 1, done.output
    [error] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert error.startswith(f"Error: {old}: got an ExecuTorch program of bundle format 1")
    assert error.endswith("expected format 2: export it again")


def test_inspect_prints_parameters(tiny_checkpoint: Path) -> None:
    shown = json.loads(_run("inspect", tiny_checkpoint, "--json").stdout)
    assert shown["parameters"]["lm_head"] == shown["parameters"]["token_embedding"] == 340 * 96
    assert shown["image_tokens"] == 4
    assert set(shown["bundle_bytes"]) == set(RECIPES)
    assert shown["bundle_bytes"]["int4-all"] < shown["bundle_bytes"]["int4"] < shown["bundle_bytes"]["fp32"]
    table = _run("inspect", tiny_checkpoint).stdout
    assert "parameters: projector" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "absent.mvlm", "picture.png", "What?"), "no such bundle"),
        (("ask", "{bundle}", "absent.png", "What?"), "absent.png: No such file"),
        (("ask", "{bundle}", "{picture}", " "), "question: got an empty text"),
        (("ask", "{bundle}", "{picture}", "What?", "--max-new-tokens", "999"), "expected at most 256 together"),
        (
            ("ask", "{tmp}", "{picture}", "What?", "--temperature", "nan"),
            "temperature: got nan, expected 0 (greedy) to 1",
        ),
        (("export", "absent", "-o", "{tmp}/x.mvlm"), "absent: no such folder"),
        (("export", "{tmp}", "-o", "{tmp}/x.mvlm"), "config.json: no such file"),
        (("export", "{checkpoint}", "-o", "{tmp}/x.mvlm", "--max-context", "4096"), "4096"),
        (("export", "{checkpoint}", "-o", "{tmp}/x.mvlm", "--backend", "coreml", "--max-context", "300"), "got 300"),
        (("inspect", "{tmp}"), "config.json: no such file"),
        (("verify", "{tmp}"), "manifest.json: no such file"),
        (("push", "{bundle}"), "adb: not found on PATH"),
    ],
)
def test_a_mistake_is_one_line(
    tiny_bundle: Bundle,
    tiny_checkpoint: Path,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    folder = picture.parent
    monkeypatch.setenv("PATH", "")
    places = {"bundle": tiny_bundle.path, "picture": picture, "tmp": folder, "checkpoint": tiny_checkpoint}
    if arguments[0] != "ask" or arguments[2] != "picture.png":
        places["picture"] = picture
    done = _run(*(argument.format(**places) for argument in arguments))
    assert done.exit_code == 1, done.output
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    if not arguments[1].startswith("absent"):
        assert message in errors[0]
    assert "Traceback" not in done.output
    assert [path.name for path in folder.iterdir()] == ["picture.png"]
