"""``mvlm evaluate``: each question is asked once, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.questions import is_right
from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.evaluate import demo_questions as demo
from mobilevlm_host.evaluate.answer_file import read_answer_file
from mobilevlm_host.evaluate.benchmark import Benchmark, Item, first_pictures
from mobilevlm_host.evaluate.run_benchmark import ImageItems, answer_here, by_picture, cut_short, run
from mobilevlm_host.evaluate.system import Source, System, open_system


def _mvlm(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def system(tiny_checkpoint: Path) -> Iterator[System]:
    with open_system(Source(str(tiny_checkpoint))) as opened:
        yield opened


def test_questions_about_a_picture_come_together() -> None:
    items = [Item(id, picture, "?") for id, picture in (("1", "b"), ("2", "a"), ("3", "b"), ("4", "c"), ("5", "a"))]
    groups = [(image_items.picture, [item.id for item in image_items.items]) for image_items in by_picture(items)]
    assert groups == [("b", ["1", "3"]), ("a", ["2", "5"]), ("c", ["4"])]


def test_an_interrupted_run_resumes_without_repeating_questions(system: System, tmp_path: Path) -> None:
    whole, asked = demo.load(12), []

    def engine(system: System, benchmark: Benchmark, image_items: Sequence[ImageItems]) -> Iterator[tuple[str, str]]:
        for id, answer in answer_here(system, benchmark, image_items):
            if len(asked) == 5:
                raise EvaluateError("the sixth picture is damaged")
            asked.append(id)
            yield id, answer

    path = tmp_path / "a.jsonl"
    with pytest.raises(EvaluateError, match="damaged"):
        run(whole, whole, system, path, engine)
    assert list(read_answer_file(path)[1]) == asked == [item.id for item in whole.items[:5]]
    told: list[tuple[int, int]] = []
    found = run(whole, whole, system, path, answer_here, lambda stage, done, total: told.append((done, total)))
    assert (found.asked, told[0], told[-1]) == (7, (5, 12), (12, 12))
    assert found.answers == run(whole, whole, system, tmp_path / "b.jsonl", answer_here).answers
    again = run(whole, whole, system, path, engine)  # asks nothing, so the engine isn't there to break
    assert (again.asked, again.answers) == (0, found.answers)


def test_the_first_pictures_then_the_rest(system: System, tmp_path: Path) -> None:
    whole, path = demo.load(12), tmp_path / "a.jsonl"
    first = run(whole, whole.about(first_pictures(whole.items, 2)), system, path, answer_here)
    assert (first.asked, list(first.answers)) == (8, [item.id for item in whole.items[:8]])
    rest = run(whole, whole, system, path, answer_here)
    assert (rest.asked, len(rest.answers)) == (4, 12)


@dataclass(frozen=True)
class WithoutPictures(demo.Demo):
    def missing(self) -> Sequence[str]:
        return [f"{index}.jpg" for index in range(12)]


def test_missing_pictures_are_named_before_anything_is_asked(system: System, tmp_path: Path) -> None:
    whole = WithoutPictures(demo.load(80).items, {})

    def never(*_: Any) -> Iterator[tuple[str, str]]:
        raise AssertionError("asked")

    with pytest.raises(EvaluateError, match=r"12 of 20 images are missing: 0.jpg, .*, 9.jpg and 2 more$"):
        run(whole, whole, system, tmp_path / "a.jsonl", never)
    assert not (tmp_path / "a.jsonl").exists()


def test_prompts_beyond_the_context_are_reported_and_the_rest_asked(system: System, tmp_path: Path) -> None:
    whole = demo.load(4)
    fits, cut, beyond, last = whole.items
    room = system.spec.room("?")
    words = (room - 40) // (room - system.spec.room("a " * 10 + "?")) * 10
    cut, beyond = replace(cut, prompt="a " * words + "?"), replace(beyond, prompt="a " * 2 * words + "?")
    assert 0 < system.spec.room(cut.prompt) < 80
    asked = replace(whole, items=[fits, cut, beyond, last])
    line = cut_short(asked, system)
    assert line is not None
    assert line.startswith("2 of 4 prompts leave less than 80 of 256 tokens for the answer")
    assert line.endswith(f"{cut.id}, {beyond.id}; 1 don't fit at all and get an empty answer")
    assert cut_short(demo.load(3), system) is None
    answers = run(asked, asked, system, tmp_path / "a.jsonl", answer_here).answers
    assert answers[beyond.id] == ""
    assert answers[cut.id] != ""
    assert answers[last.id] == run(whole, whole, system, tmp_path / "b.jsonl", answer_here).answers[last.id]


@pytest.mark.slow
def test_a_killed_process_resumes(tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    command = ("evaluate", "demo", "--benchmark", "demo", "--limit", "25", "--predictions", str(path), "--json")
    code = "from mobilevlm_host.cli.mvlm import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        while not path.exists() or path.read_bytes().count(b"\n") < 20:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    with path.open("ab") as file:
        file.write(b'{"id": "1000000')  # what a kill in the middle of a write leaves
    before = len(read_answer_file(path)[1])
    assert 18 <= before < 100
    resumed = json.loads(_mvlm(*command).stdout)
    assert (resumed["asked"], resumed["questions"]) == (100 - before, 100)
    whole = json.loads(_mvlm(*command[:-3], "--predictions", "whole.jsonl", "--json").stdout)
    assert whole["metrics"] == resumed["metrics"]
    assert read_answer_file(Path("whole.jsonl")) == read_answer_file(path)
    # By hand, from the file alone.
    truths, answers = demo.load(1000).truths, read_answer_file(path)[1]
    right = [is_right(answer, truths[id].answer, truths[id].kind) for id, answer in answers.items()]
    assert resumed["metrics"]["right"] == pytest.approx(100 * sum(right) / 100)
    assert sum(right) > 90


def test_a_bundle_against_its_checkpoint_and_against_a_file(
    tiny_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    evaluate = ("evaluate", tiny_bundle.path, "--benchmark", "demo", "--limit", 3)
    image_items = _mvlm(*evaluate, "--against", tiny_checkpoint)
    assert image_items.exit_code == 0, image_items.stderr
    assert "tiny.mvlm against tiny" in image_items.stdout.replace(str(tiny_bundle.path.parent), "").replace(
        "/", ""
    ).replace(str(tiny_checkpoint.parent).replace("/", ""), "")
    files = sorted(file.name for file in tmp_path.glob("tiny-*.demo.jsonl"))
    assert len(files) == 2
    for file in files:
        found = json.loads(_mvlm(*evaluate, "--against", file, "--json").stdout)
        assert (found["asked"], found["questions"], found["against"]["asked"]) == (0, 12, 0)
        assert found["against"]["changed_answers"] == found["against"]["gained"] == found["against"]["lost"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--benchmark", "demo"), "nowhere: no such folder, expected a checkpoint"),
        (("nowhere.mvlm", "--benchmark", "demo"), "nowhere.mvlm: no such bundle"),
        (("demo", "--benchmark", "gqa"), "gqa: got no folder, expected its data: --data DIR"),
        (("demo", "--benchmark", "demo", "--data", "."), "got a folder, expected none"),
        (("demo", "--benchmark", "demo", "--against", "nowhere"), "nowhere: no such folder"),
        (("demo", "--benchmark", "demo", "--against", "nowhere.jsonl"), "nowhere.jsonl: No such file"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_asked(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = _mvlm("evaluate", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert not list(tmp_path.iterdir())


def test_the_answered_part_of_an_unfinished_run_is_scored(tiny_checkpoint: Path) -> None:
    asked = ("--benchmark", "demo", "--predictions", "a.jsonl")
    assert _mvlm("evaluate", tiny_checkpoint, *asked, "--limit", 2).exit_code == 0
    lines = Path("a.jsonl").read_text().splitlines()
    Path("a.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # the second picture lacks an answer
    done = _mvlm("score", *asked)
    assert done.exit_code == 0, done.output
    assert done.stderr == "Scored 4 of 1000 questions: those about images with all answers (1)\n"
    assert "demo: 4 questions" in done.stdout
    assert " %" in done.stdout
    Path("a.jsonl").write_text("\n".join(lines[:2]) + "\n")
    done = _mvlm("score", *asked)
    assert done.exit_code == 1
    assert "a.jsonl: got all answers for no image, expected them for at least one" in done.stderr


def test_an_unfinished_file_is_nothing_to_compare_with(tiny_checkpoint: Path) -> None:
    assert (
        _mvlm("evaluate", tiny_checkpoint, "--benchmark", "demo", "--limit", 1, "--predictions", "a.jsonl").exit_code
        == 0
    )
    done = _mvlm("evaluate", tiny_checkpoint, "--benchmark", "demo", "--limit", 2, "--against", "a.jsonl")
    assert "a.jsonl: got answers to 4 of 8 questions, expected all; finish that run first" in done.stderr
