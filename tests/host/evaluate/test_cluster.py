"""``mvlm evaluate --ray``: the same answers as one process, also when workers die."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL.Image import Image
from ray import cloudpickle
from ray.cluster_utils import Cluster

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.evaluate import cluster
from mobilevlm_host.evaluate import demo_questions as demo
from mobilevlm_host.evaluate.answer_file import read_answer_file
from mobilevlm_host.evaluate.cluster import answer_on
from mobilevlm_host.evaluate.run_benchmark import answer_here, run
from mobilevlm_host.evaluate.system import Source, open_system

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers can't import a test


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of one machine with two CPUs."""
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield started.address
    started.shutdown()


@dataclass(frozen=True, kw_only=True)
class DeadlyDemo(demo.Demo):
    """The demo with a picture whose worker is killed when it opens it: the first ``deaths`` times. Each opening is logged."""

    deadly: str
    deaths: int
    log: Path

    def image(self, picture: str) -> Image:
        with self.log.open("a") as log:
            log.write(f"{picture}\n")
        if picture == self.deadly and opened(self.log)[picture] <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().image(picture)


def opened(log: Path) -> Counter[str]:
    """How often each picture was opened."""
    return Counter(log.read_text().split())


def deadly_demo(log: Path, deaths: int) -> DeadlyDemo:
    whole = demo.load(24)  # six pictures
    return DeadlyDemo(whole.items, whole.truths, deadly=whole.items[8].picture, deaths=deaths, log=log)


@pytest.mark.slow
def test_a_killed_workers_picture_is_asked_again_and_nothing_counts_twice(
    tiny_checkpoint: Path, tmp_path: Path, address: str
) -> None:
    benchmark = deadly_demo(tmp_path / "log", deaths=1)
    with open_system(Source(str(tiny_checkpoint))) as system:
        told: list[tuple[int, int]] = []
        found = run(
            benchmark,
            benchmark,
            system,
            tmp_path / "ray.jsonl",
            answer_on(address),
            lambda stage, done, total: told.append((done, total)),
        )
        expected = run(demo.load(24), demo.load(24), system, tmp_path / "here.jsonl", answer_here)
    times = dict.fromkeys((item.picture for item in benchmark.items), 1) | {benchmark.deadly: 2}
    assert opened(benchmark.log) == times
    assert (found.asked, found.answers, found.scores) == (24, expected.answers, expected.scores)
    assert told == [(done, 24) for done in range(25)]
    # Read strictly, one line an answer: the file refuses a second.
    assert read_answer_file(tmp_path / "ray.jsonl") == read_answer_file(tmp_path / "here.jsonl")


@pytest.mark.slow
def test_a_picture_that_kills_every_worker_ends_the_run_and_loses_nothing(
    tiny_checkpoint: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_TASK_RETRIES", 1)
    benchmark = deadly_demo(tmp_path / "log", deaths=2)
    path = tmp_path / "ray.jsonl"
    with open_system(Source(str(tiny_checkpoint), threads=2)) as system:  # one worker at a time
        with pytest.raises(EvaluateError, match=r"got workers that died 2 times on one image"):
            run(benchmark, benchmark, system, path, answer_on(address))
        kept = read_answer_file(path)[1]
        found = run(benchmark, benchmark, system, path, answer_on(address))  # the third opening does no harm
    assert opened(benchmark.log)[benchmark.deadly] == 3
    assert found.asked == 24 - len(kept)
    assert kept.items() <= found.answers.items()


@pytest.mark.slow
def test_a_cluster_gives_the_same_answers(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def scores(*options: str) -> object:
        arguments = ("evaluate", str(tiny_checkpoint), "--benchmark", "demo", "--limit", "3", "--json", *options)
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.stderr
        found = json.loads(done.stdout)
        return found["metrics"], found["questions"], found["asked"]

    here = scores("--predictions", str(tmp_path / "here.jsonl"))
    assert scores("--predictions", str(tmp_path / "ray.jsonl"), "--ray", "local") == here
    assert read_answer_file(tmp_path / "ray.jsonl") == read_answer_file(tmp_path / "here.jsonl")


def test_clusters_that_cannot_be_used_end_in_one_line(
    tiny_checkpoint: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for options, message in (
        (("--ray", "127.0.0.1:1"), r"--ray 127.0.0.1:1: .*refused, expected a running Ray cluster, or local"),
        (("--ray", "nowhere.invalid:1"), r"--ray nowhere.invalid:1: .*, expected a running Ray cluster, or local"),
        (("--ray", "what is this"), r"--ray what is this: .*, expected a running Ray cluster, or local"),
        (("--ray", address, "--threads", "3"), r"got 2 CPUs, expected at least 3 \(--threads\)"),
    ):
        arguments = ("evaluate", str(tiny_checkpoint), "--benchmark", "demo", "--limit", "1", *options)
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert re.search(f"^Error: .*{message}$", done.stderr.strip().splitlines()[-1]), done.stderr


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EvaluateError, match=r"--ray needs Ray: pip install 'mobilevlm-kit\[ray\]'"):
        answer_on("local")
