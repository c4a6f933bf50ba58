"""Jobs, the order of rounds, and the assignment of figures and answers to systems."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import random_model

from mobilevlm_export import prompt
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.demo.built_in import DEMO_SAMPLES
from mobilevlm_export.demo.questions import QA
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.pixels import open_image, preprocess
from mobilevlm_export.tokenizer import Tokenizer
from mobilevlm_host.ask.fp32_answer import answer_fp32
from mobilevlm_host.bench.peer import comparison
from mobilevlm_host.bench.peer.comparison import QUESTION, compare
from mobilevlm_host.bench.peer.comparison_report import PeerComparison
from mobilevlm_host.bench.peer.gguf_files import write_language_model
from mobilevlm_host.bench.peer.peer_files import LlamaCppFiles, kit_bytes
from mobilevlm_host.bench.peer.peer_round import Job

KIT, PEER, LIMITS = (
    "mobilevlm_host.bench.peer.kit_engine",
    "mobilevlm_host.bench.peer.llama_cpp_engine",
    "mobilevlm_host.bench.peer.machine_limits",
)
FIGURES = (
    "load_s", "first_ttft_s", "ttft_s", "ttft_prepared_s", "image_encode_s", "prefill_tok_s", "decode_tok_s",
    "peak_memory_bytes", "own_memory_bytes",
)  # fmt: skip


class Children:
    """Replaces child processes: reads each job while it exists, and returns the given figures."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []  # module, and its first file's name
        self.jobs: list[Job] = []
        self.pixels: list[np.ndarray] = []
        self.folder = Path()
        self.answers: Callable[[str], list[list[int]]] = lambda name: []

    def __call__(self, module: str, request: Mapping[str, Any]) -> Any:
        if module == LIMITS:
            self.asked.append((module, f"{request['threads']} threads"))
            return {"memory_bytes_s": 1e6, "int8_ops_s": 1e9}
        path = Path(request["job"])
        job = Job.from_json(json.loads(path.read_text()))
        self.folder, name = path.parent, Path(job.files[0]).name
        self.asked.append((module, name))
        self.jobs.append(job)
        self.pixels.append(np.load(job.pixels))
        if job.answers:
            return {"answers": self.answers(name)}
        # Every figure encodes the system and round it is from.
        return dict.fromkeys(FIGURES, 1000 * ["tiny.mvlm", "a.gguf", "b.gguf"].index(name) + len(self.asked))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    made = Children()
    monkeypatch.setattr(comparison, "in_child", made)
    return made


@pytest.fixture(scope="module")
def peers(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[LlamaCppFiles]:
    folder = tmp_path_factory.mktemp("gguf")
    for name in ("a", "b"):
        write_language_model(tiny_checkpoint, folder / f"{name}.gguf")
        (folder / f"{name}-projector.gguf").write_bytes(b"projector")
    return [
        LlamaCppFiles(name, folder / f"{file}.gguf", folder / f"{file}-projector.gguf")
        for name, file in (("Q4_0 + F16", "a"), ("Q4_K_M + Q8_0", "b"))
    ]


@pytest.fixture
def found(children: Children, tiny_checkpoint: Path, tiny_bundle: Bundle, peers: list[LlamaCppFiles]) -> PeerComparison:
    return compare(tiny_checkpoint, tiny_bundle, peers, threads=3, rounds=2)


def test_rounds_are_interleaved_after_a_warm_up(found: PeerComparison, children: Children) -> None:
    engines = [(KIT, "tiny.mvlm"), (PEER, "a.gguf"), (PEER, "b.gguf")]
    a_round = [*engines, (LIMITS, "3 threads")]
    assert children.asked == [*engines, *a_round, *a_round[::-1]]


def test_figures_are_assigned_to_their_systems(found: PeerComparison) -> None:
    # Calls 1 to 3 warm up; the second round goes backwards.
    for system, calls in ((found.kit, (4, 11)), (found.peers[0], (1005, 1010)), (found.peers[1], (2006, 2009))):
        assert {name: spread.samples for name, spread in system.figures.items()} == dict.fromkeys(FIGURES, calls)
    assert {name: spread.samples for name, spread in found.limits.items()} == {
        "memory_bytes_s": (1e6, 1e6),
        "int8_ops_s": (1e9, 1e9),
    }
    assert found.ratio("decode_tok_s", found.peers[0]).samples == (4 / 1005, 11 / 1010)
    assert found.ratio("load_s", found.peers[1]).samples == (2006 / 4, 2009 / 11)


def test_systems_have_names_and_file_sizes(
    found: PeerComparison, tiny_bundle: Bundle, peers: list[LlamaCppFiles]
) -> None:
    assert [system.name for system in (found.kit, *found.peers)] == ["mvlm fp32", "Q4_0 + F16", "Q4_K_M + Q8_0"]
    assert found.kit.file_bytes == kit_bytes(tiny_bundle)
    assert [system.file_bytes for system in found.peers] == [peer.bytes for peer in peers]
    assert [system.bytes_per_token for system in found.peers] == [peer.bytes_per_token for peer in peers]
    assert found.kit.bytes_per_token > found.peers[0].bytes_per_token  # float32 beside float16
    assert [system.types for system in found.peers] == [peer.types for peer in peers]
    assert (found.model, found.threads, found.rounds) == (tiny_bundle.config.name, 3, 2)
    assert found.operations_per_image > found.operations_per_token > 0
    assert [system.accuracy for system in (found.kit, *found.peers)] == [None] * 3


def test_every_engine_has_the_same_job_with_its_own_files(
    found: PeerComparison, children: Children, tiny_bundle: Bundle, peers: list[LlamaCppFiles]
) -> None:
    files = [str(tiny_bundle.path)], *([str(peer.language_model), str(peer.projector)] for peer in peers)
    assert [job.files for job in children.jobs] == [*files, *files, *files[::-1]]
    jobs = {json.dumps(job.to_json() | {"files": []}) for job in children.jobs}
    assert len(jobs) == 1
    job = children.jobs[0]
    assert (job.threads, job.context, job.eos_id, job.answers) == (3, tiny_bundle.manifest.max_context, 2, 0)
    tokenizer = Tokenizer(tiny_bundle.tokenizer())
    (asked,) = job.prompts
    texts = asked.before, asked.after
    assert texts == (prompt.prefix(), prompt.after_image(QUESTION))
    segments = prompt.encode_segments(tokenizer, [prompt.Turn(QUESTION)])
    assert segments == [asked.before_ids, prompt.IMAGE, asked.after_ids]
    # As long as a prompt may be and leave room to decode, of ordinary tokens.
    assert len(job.prefill_ids) == found.prefill_tokens == min(256, tiny_bundle.manifest.max_context // 2)
    assert 2 < min(job.prefill_ids) < max(job.prefill_ids) < tokenizer.vocab_size
    assert len(set(job.prefill_ids)) > 100


def test_the_picture_needs_no_resizing(found: PeerComparison, children: Children, tiny_bundle: Bundle) -> None:
    side = tiny_bundle.config.vision.image_size
    resized = open_image(DEMO_SAMPLES / "word-and-shapes.png").resize((side, side))
    for pixels in children.pixels:
        np.testing.assert_array_equal(pixels, np.asarray(resized)[None])
        assert pixels.dtype == np.uint8


def test_no_job_files_are_left(found: PeerComparison, children: Children) -> None:
    assert children.folder.name.startswith(".mvlm.")
    assert not children.folder.exists()


def test_a_failing_engine_ends_the_comparison(
    children: Children, tiny_checkpoint: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(module: str, request: Mapping[str, Any]) -> Any:
        children(module, request)
        raise RunnerError("tiny.mvlm: out of luck")

    monkeypatch.setattr(comparison, "in_child", fails)
    with pytest.raises(RunnerError, match="out of luck"):
        compare(tiny_checkpoint, tiny_bundle, [], threads=1, rounds=1)
    assert not children.folder.exists()


def test_answers_are_compared_with_fp32_and_with_the_correct_ones(
    children: Children,
    tiny_checkpoint: Path,
    tiny_bundle: Bundle,
    peers: list[LlamaCppFiles],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokenizer = random_model(), Tokenizer(tiny_bundle.tokenizer())
    noise = np.random.default_rng(0)
    images = [Image.fromarray(noise.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(4)]
    said = [answer_fp32(model, tokenizer, image, f"What is this, {at}?", 80) for at, image in enumerate(images)]
    assert len({*said}) == 4
    # The model's first two answers are correct.
    truths = [*said[:2], "a red circle", "2 blue squares"]
    asked = [
        (image, QA(f"What is this, {at}?", truth, "color"))
        for at, (image, truth) in enumerate(zip(images, truths, strict=True))
    ]
    monkeypatch.setattr(comparison, "_held_out", lambda count: asked[:count])
    ids = dict(zip(said, (fp32_ids(model, tokenizer, *each) for each in asked), strict=True))
    ids |= {text: tokenizer.encode(text) for text in ("no", *truths[2:])}
    told = {
        "tiny.mvlm": [said[0], said[1], said[2], "no"],
        "a.gguf": ["no", said[1], *truths[2:]],
        "b.gguf": ["no"] * 4,
    }
    children.answers = lambda name: [ids[text] for text in told[name]]
    steps: list[tuple[str, int, int]] = []

    found = compare(
        tiny_checkpoint,
        tiny_bundle,
        peers,
        threads=3,
        rounds=1,
        questions=4,
        progress=lambda *step: steps.append(step),
    )
    tallies = [vars(system.accuracy) for system in (found.kit, *found.peers)]
    assert tallies == [
        {"questions": 4, "same": same, "right": right, "fp32_right": 2} for same, right in ((3, 2), (1, 3), (0, 0))
    ]

    jobs = children.jobs[-3:]
    assert [(job.answers, job.threads) for job in jobs] == [(80, 1)] * 3
    assert [Path(job.files[0]).name for job in jobs] == list(told)
    expected = np.stack([preprocess(image, model.config).permute(1, 2, 0).numpy() for image in images])
    for job, pixels in zip(jobs, children.pixels[-3:], strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert [each.after for each in job.prompts] == [prompt.after_image(qa.question) for _, qa in asked]
        assert [each.after_ids for each in job.prompts] == [tokenizer.encode(each.after) for each in job.prompts]
    totals = {"warming the file cache": 3, "answers of the fp32 model": 4, "answers of the engines": 3}
    for stage, total in totals.items():
        assert [step for step in steps if step[0] == stage][-1] == (stage, total, total)


def fp32_ids(model: Any, tokenizer: Tokenizer, image: Image.Image, qa: QA) -> list[int]:
    before, _, after = prompt.encode_segments(tokenizer, [prompt.Turn(qa.question)])
    ids: list[int] = model.generate([before, preprocess(image, model.config), after], 80)
    return ids
