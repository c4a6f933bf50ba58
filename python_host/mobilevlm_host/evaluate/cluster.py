"""Answer on a Ray cluster: an actor for each share of its CPUs, a task for each image.

Ray does the scheduling. A worker that dies is restarted, elsewhere if necessary, and its task is repeated. Only this process
collects and saves the answers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mobilevlm_export.errors import EvaluateError, MobileVLMError
from mobilevlm_host.ask.conversation import Conversation
from mobilevlm_host.engines.native_output import native_output_hidden
from mobilevlm_host.engines.packed_files import SETTING
from mobilevlm_host.evaluate.benchmark import Benchmark
from mobilevlm_host.evaluate.run_benchmark import AnswerFunction, ImageItems, answer_image
from mobilevlm_host.evaluate.system import Source, System, open_system

_LOCAL = "local"
_CONNECT_S = 10.0
_TASK_RETRIES = 3  # the run ends if an image kills its worker this many more times


def answer_on(address: str) -> AnswerFunction:
    """The :data:`AnswerFunction` of the Ray cluster at ``address``; ``local`` starts one on this machine for the duration of the run.

    The system's files and the benchmark's images must have the same path on every machine. Each worker takes as many CPUs as
    the system's ``threads`` (default: 1). Workers on one machine share packed weights where these are kept in a file; each holds its
    own KV cache.

    Raises:
        EvaluateError: Ray isn't installed; later: there is no such cluster, it has too few CPUs, or an image kills every worker.
    """
    ray = _import_ray()

    def engine(system: System, benchmark: Benchmark, image_items: Sequence[ImageItems]) -> Iterator[tuple[str, str]]:
        source = replace(system.source.absolute(), threads=system.source.threads or 1)
        with _connected(ray, address):
            count = min(len(image_items), _slots(ray, address, source.threads or 1))
            actor = ray.remote(num_cpus=source.threads, max_restarts=-1, max_task_retries=_TASK_RETRIES)(Worker)
            shared = ray.put(benchmark)
            weights = os.environ.get(SETTING, "")
            workers = [actor.remote(source, system.sha256, shared, weights) for _ in range(count)]
            pool = ray.util.ActorPool(workers)
            try:
                for answers in pool.map_unordered(lambda worker, each: worker.answer.remote(each), image_items):
                    yield from answers
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MobileVLMError):
                    raise error.cause from None
                raise EvaluateError(f"{address}: a worker failed ({str(error.cause).splitlines()[0]})") from error
            except ray.exceptions.RayError as error:
                raise EvaluateError(
                    f"{address}: got workers that died {_TASK_RETRIES + 1} times on one image, expected answers "
                    f"({type(error).__name__}); answers so far are kept"
                ) from None
            finally:
                for worker in workers:
                    ray.kill(worker)

    return engine


class Worker:
    """Answers image by image; the model is loaded for the first one. ``weights`` is the setting for packed weights."""

    def __init__(self, source: Source, sha256: str, benchmark: Benchmark, weights: str = "") -> None:
        os.environ[SETTING] = weights
        self._source, self._sha256, self._benchmark = source, sha256, benchmark
        self._opened: Any = None  # keeps an unpacked bundle open
        self._conversation: Conversation | None = None

    def answer(self, image_items: ImageItems) -> list[tuple[str, str]]:
        """The item id and answer of each question about one image."""
        if self._conversation is None:
            self._conversation = self._load()
        return list(answer_image(self._conversation, self._benchmark, image_items))

    def _load(self) -> Conversation:
        self._opened = open_system(self._source)
        system: System = self._opened.__enter__()
        if system.sha256 != self._sha256:
            raise EvaluateError(
                f"{self._source.name}: got {system.sha256[:12]}… on {os.uname().nodename}, expected {self._sha256[:12]}… as here"
            )
        return system.load()


def _import_ray() -> Any:
    # Ray reports usage to its developers unless this is disabled.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util
    except ImportError:
        raise EvaluateError("--ray needs Ray: pip install 'mobilevlm-kit[ray]'") from None
    return ray


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    dashboard = {"include_dashboard": False} if address == _LOCAL else {}
    try:
        _require_listener(address)
        with native_output_hidden():  # C++ messages about a cluster that it can't find
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **dashboard)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EvaluateError(f"--ray {address}: {reason}, expected a running Ray cluster, or local") from None
    try:
        yield
    finally:
        with native_output_hidden():
            ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def _slots(ray: Any, address: str, threads: int) -> int:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < threads:
        raise EvaluateError(f"--ray {address}: got {cpus} CPUs, expected at least {threads} (--threads)")
    return cpus // threads
