"""Core ML's artifacts behind the same interfaces: chosen, evaluated here, predicted on a Mac; what is wrong with them is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import coremltools as ct
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.checkpoint.load import load_checkpoint
from mobilevlm_export.errors import BundleError, EvaluateError, MilError, RunnerError
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_host.ask.runner import Runner
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.engines import coreml
from mobilevlm_host.engines.choose import chosen_backend, open_methods
from mobilevlm_host.engines.coreml import CoreMLMethods
from mobilevlm_host.evaluate.system import Source, open_system
from mobilevlm_host.mil import Program, State
from mobilevlm_host.parity.check import check_parity

SHOWS = "It can't show Apple's kernels or the Neural Engine"
QUESTION = "What is this?"


@pytest.fixture
def copy(tiny_coreml_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A copy to spoil, which nobody verifies."""
    folder = shutil.copytree(tiny_coreml_bundle.path, tmp_path / "copy.mvlm")
    return Bundle(folder, tiny_coreml_bundle.manifest)


@pytest.fixture
def both(tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The artifacts of both bundles in one."""
    folder = shutil.copytree(tiny_bundle.path, tmp_path / "both.mvlm")
    shutil.copytree(tiny_coreml_bundle.path, folder, dirs_exist_ok=True)
    artifacts = tiny_bundle.manifest.values["artifacts"] | tiny_coreml_bundle.manifest.values["artifacts"]
    values = json.loads((folder / "manifest.json").read_text())
    listed = {entry.path: vars(entry) for made in (tiny_bundle, tiny_coreml_bundle) for entry in made.manifest.files}
    values |= {"artifacts": artifacts, "files": list(listed.values())}
    (folder / "manifest.json").write_text(json.dumps(values))
    return Bundle.open(folder)


def _image(seed: int = 1) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    _image().save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _edited(bundle: Bundle, edit: Callable[[dict[str, Any]], object]) -> Bundle:
    values = json.loads(json.dumps(dict(bundle.manifest.values)))
    edit(values["artifacts"]["coreml"])
    return Bundle(bundle.path, replace(bundle.manifest, values=MappingProxyType(values)))


def test_a_bundle_with_both_backends_uses_executorch_by_default(both: Bundle, tiny_coreml_bundle: Bundle) -> None:
    assert chosen_backend(both) == "executorch"
    assert chosen_backend(both, "coreml") == "coreml"
    assert chosen_backend(tiny_coreml_bundle) == "coreml"
    with pytest.raises(BundleError, match="got artifacts for coreml, expected executorch"):
        chosen_backend(tiny_coreml_bundle, "executorch")
    answers = {}
    for backend in (None, "executorch", "coreml"):
        runner = Runner(Bundle(both.path, both.manifest), backend=backend)
        list(runner.ask(_image(), QUESTION, max_new_tokens=12))
        answers[runner.backend] = runner.answer
    assert answers["coreml"] == answers["executorch"]


def test_a_bundle_of_format_1_still_answers_by_core_ml(both: Bundle, tiny_coreml_bundle: Bundle) -> None:
    def old(bundle: Bundle) -> Bundle:
        values = MappingProxyType({**bundle.manifest.values, "format_version": 1})
        return Bundle(bundle.path, replace(bundle.manifest, values=values))

    with pytest.raises(BundleError, match="got an ExecuTorch program of bundle format 1"):
        chosen_backend(old(both))
    assert chosen_backend(old(tiny_coreml_bundle)) == "coreml"
    runner = Runner(old(both), backend="coreml")
    list(runner.ask(_image(), QUESTION, max_new_tokens=4))
    assert runner.answer.token_ids


def test_methods_equal_the_model_however_a_prompt_is_cut(tiny_coreml_bundle: Bundle, tiny_checkpoint: Path) -> None:
    methods, model = CoreMLMethods(tiny_coreml_bundle), load_checkpoint(tiny_checkpoint)
    ids = torch.randint(0, 300, (1, 150), generator=torch.Generator().manual_seed(0))
    embeds = methods.token_embedding(ids)
    torch.testing.assert_close(embeds, model.token_embedding(ids))
    expected = model.text_decoder(embeds)[0]
    for cuts in ((150,), (64, 64, 22), (65, 1, 84), (1, 148, 1)):
        position = 0
        for part in embeds.split(cuts, dim=1):
            logits = methods.text_decoder(part, position)
            position += part.shape[1]
            torch.testing.assert_close(logits, expected[position - 1], atol=1e-2, rtol=0)
    mine, other = methods.with_own_cache(), methods.with_own_cache()
    mine.text_decoder(embeds[:, :100], 0)
    other.text_decoder(embeds[:, 20:100], 0)
    torch.testing.assert_close(mine.text_decoder(embeds[:, 100:101], 100), expected[100], atol=1e-2, rtol=0)


def test_a_prompt_too_long_for_the_state_is_one_line(tiny_coreml_bundle: Bundle) -> None:
    methods = CoreMLMethods(tiny_coreml_bundle)
    embeds = torch.zeros(1, 257, tiny_coreml_bundle.config.llm.hidden_size)
    for tokens, position in ((257, 0), (1, 256), (100, 200)):
        message = rf"text_decoder.mlpackage: got {tokens} tokens at position {position}, expected at most 256 together"
        with pytest.raises(RunnerError, match=message):
            methods.text_decoder(embeds[:, :tokens], position)


def test_sampling_is_of_later_tokens_only(tiny_coreml_bundle: Bundle) -> None:
    runner = Runner(Bundle(tiny_coreml_bundle.path, tiny_coreml_bundle.manifest))
    answers = []
    for temperature in (0.0, 0.0, 1.0, 1.0):
        list(runner.ask(_image(), QUESTION, max_new_tokens=12, temperature=temperature))
        answers.append(runner.answer.token_ids or [])
    assert answers[0] == answers[1]
    assert len({tuple(answer) for answer in answers}) == 3
    assert len({answer[0] for answer in answers}) == 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda made: made["text_decoder"].update(package="gone.mlpackage"), "gone.mlpackage: no such folder"),
        (lambda made: made["text_decoder"].update(package="vision_encoder.mlpackage"), "got no function 'prefill'"),
    ],
)
def test_a_manifest_with_a_bad_path_is_one_line(copy: Bundle, edit: Callable[[Any], object], message: str) -> None:
    with pytest.raises((BundleError, MilError), match=message):
        Runner(_edited(copy, edit))


def test_a_truncated_weight_file_is_one_line(copy: Bundle) -> None:
    path = copy.path / "text_decoder.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    runner = Runner(copy)
    with pytest.raises(MilError, match=r"weight.bin: blob at \d+: the file ends after \d+ bytes, expected \d+"):
        next(runner.ask(_image(), QUESTION))


# The commands.


def test_ask_and_its_json(both: Bundle, picture: Path) -> None:
    asked = ("ask", both.path, picture, QUESTION, "--max-new-tokens", 5)
    streamed, found = _run(*asked, "--backend", "coreml"), _run(*asked, "--backend", "coreml", "--json")
    assert streamed.exit_code == 0, streamed.stderr
    assert SHOWS in streamed.stderr
    answer = json.loads(found.stdout)
    assert (answer["backend"], answer["engine"]) == ("coreml", "mobilevlm_host.mil")
    assert SHOWS in answer["shows"]
    assert streamed.stdout.rstrip("\n") == answer["answer"]
    default = json.loads(_run(*asked, "--json").stdout)
    assert default["backend"] == "executorch"
    assert default["token_ids"] == answer["token_ids"]


def test_parity_reports_which_engine_computed(
    tiny_coreml_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    _image().save(tmp_path / "picture.png")
    command = ("parity", tiny_checkpoint, tiny_coreml_bundle.path, "--images", tmp_path)
    shown = _run(*command, "--report", tmp_path / "parity.html")
    assert shown.exit_code == 0, shown.stderr
    assert SHOWS in shown.stdout
    assert "Neural Engine" in (tmp_path / "parity.html").read_text()
    found = json.loads(_run(*command, "--backend", "coreml", "--json").stdout)
    assert (found["verdict"], found["backend"], found["engine"]) == ("pass", "coreml", "mobilevlm_host.mil")
    refused = _run(*command, "--backend", "executorch")
    assert refused.exit_code == 1
    assert "got artifacts for coreml, expected executorch" in refused.stderr


def test_golden_records_of_a_core_ml_bundle(copy: Bundle) -> None:
    made = _run("golden", copy.path, "--json")
    assert made.exit_code == 0, made.stderr
    engine = json.loads((copy.path / "golden/golden.json").read_text())["engine"]
    assert "mobilevlm_host.mil" in engine
    checked = json.loads(_run("golden", copy.path, "--check", "--json").stdout)["checked"]
    assert [each["differs"] for each in checked.values()] == ["none"] * 3


def test_export_adds_golden_records_by_the_evaluator(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = _run("export", tiny_checkpoint, "-o", tmp_path / "x.mvlm", "--backend", "coreml", "--recipe", "int8")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads((tmp_path / "x.mvlm/golden/golden.json").read_text())["records"]) == 3


def test_evaluation_uses_the_requested_artifact(both: Bundle) -> None:
    answers, hashes = {}, {}
    for backend in ("executorch", "coreml"):
        with open_system(Source(str(both.path), backend=backend)) as system:
            with system.load() as conversation:
                answers[backend] = "".join(conversation.ask(_image(), QUESTION, max_new_tokens=12))
            hashes[backend] = system.sha256
            assert (SHOWS in system.note) == (backend == "coreml")
    assert answers["coreml"] == answers["executorch"]
    assert hashes["coreml"] != hashes["executorch"]
    with open_system(Source(str(both.path))) as system:
        assert system.sha256 == hashes["executorch"]


def test_evaluate_by_core_ml_against_executorch(both: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = _run(
        "evaluate",
        both.path,
        "--backend",
        "coreml",
        "--benchmark",
        "demo",
        "--limit",
        1,
        "--against",
        both.path,
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    assert SHOWS in done.stderr
    coreml_answers, executorch_answers = (
        [json.loads(line).get("answer") for line in path.read_text().splitlines()]
        for path in tmp_path.glob("both-*.demo.jsonl")
    )
    # Random weights answer at length, with close calls that the float16 cache decides otherwise sooner or later.
    begun = [[each[:40] for each in answers if each is not None] for answers in (coreml_answers, executorch_answers)]
    assert begun[0] == begun[1]
    assert [len(each) for each in begun[0]] == [40] * len(begun[0]) != []
    with (
        pytest.raises(EvaluateError, match="got a checkpoint with the backend coreml, expected a bundle"),
        open_system(Source("demo", backend="coreml")),
    ):
        pass


def test_a_systems_hash_ignores_files_it_does_not_use(both: Bundle) -> None:
    def hashes() -> list[str]:
        found = []
        for backend in ("executorch", "coreml"):
            with open_system(Source(str(both.path), backend=backend)) as system:
                found.append(system.sha256)
        return found

    before = hashes()
    table = both.path / "token_embedding.safetensors"
    table.write_bytes(table.read_bytes()[:-1] + b"!")
    manifest = both.path / "manifest.json"
    old = next(entry.sha256 for entry in both.manifest.files if entry.path == table.name)
    manifest.write_text(manifest.read_text().replace(old, file_sha256(table)))
    after = hashes()
    assert after[0] == before[0]
    assert after[1] != before[1]


# On a Mac.


class StandIn:
    """What ``coremltools.models.MLModel`` is on a Mac, as strict as it in what it takes; computed by the evaluator."""

    loaded: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, model: str, compute_units: Any = ct.ComputeUnit.ALL, function_name: str | None = None) -> None:
        if not isinstance(model, str):
            raise TypeError("Expected model to be a str")
        self._program = Program.open(model)
        if len(self._program.functions) == 1 and function_name not in (None, "main"):
            raise ValueError('function_name must be "main" for non multifunction model')
        self._function = self._program.function(function_name)
        self.loaded.append((Path(model).name, self._function.signature.name))
        assert compute_units == ct.ComputeUnit.CPU_AND_GPU

    def make_state(self) -> State:
        if not self._function.signature.states:
            raise Exception("This model has no state")
        return self._program.make_state()

    def predict(self, data: dict[str, Any], state: State | None = None) -> dict[str, np.ndarray]:
        signature = self._function.signature
        for name, value in data.items():
            if name not in signature.inputs:
                raise KeyError(
                    f"Provided key {name!r}, in the input dict, does not match any of the model input name(s)"
                )
            if name in signature.images:
                if not isinstance(value, Image.Image) or value.mode != "RGB":
                    raise TypeError(f"Image input, '{name}' must be of type PIL.Image.Image in the input dict")
            elif not isinstance(value, np.ndarray) or value.dtype not in (np.float16, np.float32, np.int32):
                raise TypeError(f"got {type(value)} for {name}")
        if bool(signature.states) != (state is not None):
            raise RuntimeError(
                "{ NSLocalizedDescription = 'The model has a state and none was given, or none and one was.'; }"
            )
        outputs = self._function.run({name: np.asarray(value) for name, value in data.items()}, state)
        return {name: value.numpy() for name, value in outputs.items()}


@pytest.fixture
def a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(ct.models, "MLModel", StandIn)
    StandIn.loaded.clear()


@pytest.mark.usefixtures("a_mac")
def test_on_a_mac_core_ml_itself_is_compared(
    tiny_coreml_bundle: Bundle, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _image().save(tmp_path / "picture.png")
    bundle = Bundle(tiny_coreml_bundle.path, tiny_coreml_bundle.manifest)
    there = check_parity(tiny_checkpoint, bundle, images=tmp_path)
    assert there.first_divergence is None
    assert there.subject is not None
    assert there.subject.computed_by.engine == "coreml"
    assert "Core ML itself" in there.subject.computed_by.shows
    assert StandIn.loaded == [
        ("vision_encoder.mlpackage", "main"),
        ("text_decoder.mlpackage", "prefill"),
        ("text_decoder.mlpackage", "decode"),
    ]
    monkeypatch.undo()
    here = check_parity(tiny_checkpoint, bundle, images=tmp_path)
    assert [stage.metrics for stage in here.stages] == [stage.metrics for stage in there.stages]
    assert here.subject is not None
    assert here.subject.computed_by.engine == "mobilevlm_host.mil"


@pytest.mark.usefixtures("a_mac")
def test_on_a_mac_what_core_ml_refuses_is_one_line(copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = open_methods(copy)
    with pytest.raises(RunnerError, match=r"text_decoder.mlpackage: prefill: Core ML can't run it \(.*shape"):
        methods.text_decoder(torch.zeros(1, 5, 7), 0)
    shutil.rmtree(copy.path / "vision_encoder.mlpackage")
    with pytest.raises(RunnerError, match=r"vision_encoder.mlpackage: Core ML can't load it \(.*no such folder"):
        open_methods(copy)


@pytest.mark.parametrize(
    ("system", "version", "expected"),
    [("darwin", "15.0", True), ("darwin", "26.1", True), ("darwin", "14.7", False), ("linux", "", False)],
)
def test_only_a_recent_mac_has_core_ml_with_states(
    monkeypatch: pytest.MonkeyPatch, system: str, version: str, expected: bool
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.mac_ver", lambda: (version, ("", "", ""), ""))
    assert coreml.core_ml_is_here() is expected
