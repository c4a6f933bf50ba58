"""lmms-eval asks a bundle in its own process, or through mvlm serve, and gets the answers and the score of mvlm evaluate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from chat_requests import picture
from filelock import FileLock
from lmms_eval_task import TASK, write_task
from repository import ROOT
from scripted_model import served_on_a_port

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import EvaluateError, RunnerError
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.evaluate.demo_questions import load
from mobilevlm_host.evaluate.run_benchmark import answer_here, run
from mobilevlm_host.evaluate.system import Source, open_system
from mobilevlm_host.serve.served_model import ServedModel

BENCHMARK = load(24)
_VENV = ROOT / "build" / "lmms-eval"


@dataclass(frozen=True)
class _Result:
    right: float  # in percent
    answers: dict[str, str]


@pytest.fixture(scope="module")
def kit(demo_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> _Result:
    """What mvlm evaluate makes of it."""
    with open_system(Source(str(demo_bundle.path))) as system:
        predictions = tmp_path_factory.mktemp("kit") / "answers.jsonl"
        evaluation = run(BENCHMARK, BENCHMARK, system, predictions, answer_here)
    return _Result(evaluation.scores.metrics["right"], dict(evaluation.answers))


def _evaluate(folder: Path, *options: str) -> _Result:
    """Run lmms-eval, as a user does."""
    make = [str(ROOT / "scripts" / "lmms_eval_venv.sh"), sys.executable, str(_VENV)]
    with FileLock(f"{_VENV}.lock"):
        subprocess.run(make, check=True)
    write_task(BENCHMARK, folder)
    command = [
        str(_VENV / "bin" / "python"), "-m", "lmms_eval", *options, "--tasks", TASK, "--include_path", str(folder),
        "--batch_size", "1", "--log_samples", "--output_path", str(folder / "out"),
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none",
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (results,) = (folder / "out").glob("*/*_results.json")
    (samples,) = (folder / "out").glob("*/*_samples_*.jsonl")
    rows = _lines(folder / "rows.jsonl")
    answers = {rows[each["doc_id"]]["id"]: each["filtered_resps"] for each in _lines(samples)}
    return _Result(100 * json.loads(results.read_text())["results"][TASK]["right,none"], answers)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.thorough
def test_a_bundle_in_its_own_process(kit: _Result, demo_bundle: Bundle, tmp_path: Path) -> None:
    assert _evaluate(tmp_path, "--model", "mobilevlm", "--model_args", f"pretrained={demo_bundle.path}") == kit


@pytest.mark.thorough
def test_a_bundle_served_as_the_docs_say(kit: _Result, demo_bundle: Bundle, tmp_path: Path) -> None:
    with served_on_a_port(ServedModel.open(demo_bundle)) as address:
        arguments = f"model=demo,base_url={address}/v1,num_concurrent=1,prefix_aware_queue=False"
        for page in (ROOT / "README.md", ROOT / "docs" / "guides" / "evaluate.md"):
            assert f"--model_args {arguments.replace(address, 'http://127.0.0.1:8000')} " in page.read_text(
                encoding="utf-8"
            )
        assert _evaluate(tmp_path, "--model", "openai", "--model_args", arguments) == kit


class _Plain:
    """What every model of lmms-eval has."""

    task_dict: dict[str, Any]

    def clean(self) -> None:
        """Frees what torch has."""


@pytest.fixture
def model_class(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """The class, as lmms-eval imports it, without lmms-eval."""
    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.instance", "lmms_eval.api.model", "loguru")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    parts = {"Instance": SimpleNamespace, "lmms": _Plain, "logger": SimpleNamespace(warning=lambda text: None)}
    for module, part in (("lmms_eval.api.instance", "Instance"), ("lmms_eval.api.model", "lmms"), ("loguru", "logger")):
        monkeypatch.setattr(sys.modules[module], part, parts[part], raising=False)
    made = import_module("mobilevlm_host.evaluate.lmms_eval_model")
    del sys.modules[made.__name__]
    return made.LmmsEvalModel


@pytest.fixture
def model(model_class: type[Any], tiny_bundle: Bundle) -> Any:
    model = model_class(str(tiny_bundle.path))
    pictures = [[picture(1)], [picture(2)], [picture(1)], [], [picture(1), picture(2)], ["film.mp4"]]
    model.task_dict = {"task": {"test": pictures}}
    return model


def _asks(doc_id: int, question: str = "What is this?", **wanted: Any) -> SimpleNamespace:
    arguments = (question, {"max_new_tokens": 8, **wanted}, lambda doc: doc, doc_id, "task", "test")
    return SimpleNamespace(args=arguments, task_name="task", doc_id=doc_id)


def test_questions_about_a_picture_are_asked_together(model: Any, tiny_bundle: Bundle) -> None:
    shown: list[Any] = []
    prepare = model._conversation.prepare
    model._conversation.prepare = lambda image: (shown.append(image), prepare(image))
    got = model.generate_until([_asks(0), _asks(1), _asks(2, "Why?"), _asks(1, "Why?")])
    assert len(shown) == 2
    with Runner(tiny_bundle) as runner:
        asked = [(1, "What is this?"), (2, "What is this?"), (1, "Why?"), (2, "Why?")]
        assert got == ["".join(runner.ask(picture(seed), text, max_new_tokens=8)) for seed, text in asked]


def test_an_answer_ends_before_a_stop_text_or_the_end_of_the_context(model: Any) -> None:
    (whole,) = model.generate_until([_asks(0, until=None)])
    stop = whole[3:6]
    assert model.generate_until([_asks(0, until=[stop, ""]), _asks(0, until=stop)]) == [whole[: whole.index(stop)]] * 2
    assert model.generate_until([_asks(0, "What is this? " * 300)]) == [""]
    assert model.generate_until([_asks(0, max_new_tokens=None)])[0].startswith(whole)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (_asks(3), "question 3: got nothing to look at"), (_asks(4), "got Image, Image"), (_asks(5), "got str"),
        (_asks(0, temperature=0.2), "temperature=0"), (_asks(0, do_sample=True), "greedy"), (_asks(0, num_beams=5), "greedy"),
    ],
)  # fmt: skip
def test_what_the_model_cannot_do_is_refused_by_the_name_of_the_task(model: Any, request_: Any, what: str) -> None:
    with pytest.raises(EvaluateError, match=what) as refused:
        model.generate_until([request_])
    assert str(refused.value).startswith("task: ")
    for kind in (model.loglikelihood, model.generate_until_multi_round):
        with pytest.raises(EvaluateError, match="task: got the output type"):
            kind([request_])


def test_plain_settings_of_tasks_are_accepted(model: Any) -> None:
    plain = _asks(0, temperature=0, do_sample=True, num_beams=1, top_p=0, until=["\n\n"])
    assert model.generate_until([plain]) == model.generate_until([_asks(0)])


def test_the_engine_is_freed_at_the_end(model: Any) -> None:
    model.clean()
    with pytest.raises(RunnerError, match="closed"):
        model.generate_until([_asks(0)])


def test_only_the_cpu_is_a_device(model_class: type[Any], tiny_bundle: Bundle) -> None:
    with pytest.raises(EvaluateError, match="device: got 'cuda', expected cpu"):
        model_class(str(tiny_bundle.path), device="cuda")
