"""Commands leave their complete results on the terminal's screen, and no progress bars."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from terminal import Terminal, screen

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_host.ask.runner import Runner

_BAR = "━"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny.mvlm"
    shutil.copytree(tiny_bundle.path, folder)
    return folder


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_every_answer_of_the_demo_stays_on_the_screen(demo_bundle: Bundle, tmp_path: Path, locale: str) -> None:
    exported = (
        "from mobilevlm_host import demo; from mobilevlm_export.bundle.read import Bundle; import os; "
        "demo.export_with_golden = lambda *_: Bundle.open(os.environ['DEMO'])"
    )
    terminal = Terminal(
        ["demo", "--questions", "4", "-o", tmp_path / "demo.mvlm"],
        before=exported,
        DEMO=str(demo_bundle.path),
        LC_ALL=locale,
        PYTHONUTF8="0" if locale == "C" else "1",
    )
    shown = "".join(f"{line.strip()} " for line in terminal.finish())
    assert b"held-out questions, bundle and fp32  " in terminal.raw  # a bar was there
    with Runner(demo_bundle) as runner:
        for sample in json.loads((DEMO_SAMPLES / "samples.json").read_text(encoding="utf-8"))["samples"]:
            image = Image.open(DEMO_SAMPLES / sample["image"]).convert("RGB")
            assert f" {sample['image']} " in f" {shown}"
            for qa in sample["questions"]:
                answer = "".join(runner.ask(image, qa["question"], max_new_tokens=80))
                assert f"{qa['question']}  {answer}  (".replace(" ", "") in shown.replace(" ", "")
    assert _BAR not in shown
    assert "export, load" in shown
    assert "0:00" not in shown


def test_only_the_answer_is_shown(bundle: Path, picture: Path) -> None:
    terminal = Terminal(["ask", bundle, picture, "What is this?", "--max-new-tokens", "6"])
    with Bundle.open(bundle) as opened, Runner(opened) as runner:
        answer = "".join(runner.ask(Image.open(picture), "What is this?", max_new_tokens=6))
    assert terminal.finish() == [answer.strip()]
    assert b"loading the model" in terminal.raw


def test_a_conversation_explains_how_to_end_it_and_lines_can_be_edited(bundle: Path, picture: Path) -> None:
    terminal = Terminal(["ask", bundle, picture, "--max-new-tokens", "3"])
    terminal.wait_for("Type one question per line. An empty line or Ctrl-D ends the conversation.")
    terminal.wait_for("> ")
    left = "\x1b[D"
    terminal.type(f"What is ths?{left * 2}i\r")
    terminal.wait_for("> What is this?")
    terminal.wait_for("\n> ", times=2)
    terminal.type("\x1b[A\r")  # the arrow up: the question again
    terminal.wait_for("> What is this?", times=2)
    terminal.type("\x04")
    shown = terminal.finish()
    assert terminal.process.returncode == 0
    assert not any("^[[" in line or _BAR in line for line in shown)


def test_an_empty_answer_is_noted(bundle: Path, picture: Path) -> None:
    says_nothing = "from mobilevlm_host.ask import chat; chat.begun = lambda pieces: iter(())"
    shown = screen(["ask", bundle, picture, "What is this?"], before=says_nothing)
    assert shown == ["(the model's answer is empty)"]


def test_every_command_with_a_bar_leaves_only_its_result(
    tiny_checkpoint: Path, bundle: Path, picture: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(picture, pictures)
    commands = {
        ("verify", bundle): "3 files, ",
        ("inspect", tiny_checkpoint): "parameters",
        ("golden", bundle): "How many objects",
        ("parity", tiny_checkpoint, bundle, "--images", pictures, "--layers"): "text_decoder.layers.1 ",
        ("sensitivity", tiny_checkpoint, "--images", pictures, "--budget", "900kB"): "Proposed",
        ("evaluate", bundle, "--benchmark", "demo", "--limit", "1"): "Answers:",
        ("bench", bundle, "--repeats", "1"): "prefill",
        ("export", tiny_checkpoint, "-o", tmp_path / "new.mvlm", "--zip"): "new.mvlm.zip",
    }
    for command, expected in commands.items():
        terminal = Terminal(command, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
        shown = terminal.finish()
        assert any(expected in line for line in shown), (command, shown)
        assert not any("cpuinfo" in line for line in shown), (command, shown)
        assert not any(_BAR in line or "\u2500\u2500  " in line or "0:00:00" in line for line in shown), (
            command,
            shown,
        )
