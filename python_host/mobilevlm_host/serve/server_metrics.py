"""What the server counts, in Prometheus' text format."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

from mobilevlm_host.serve.served_model import ServedAnswer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TTFT_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServerMetrics:
    """Counts since the start. Only the event loop's thread may change it."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._cancelled = 0
        self._prompt_tokens = self._cached_tokens = self._generated_tokens = 0
        self._images: Counter[str] = Counter()
        self._continued = 0
        self._ttft_s: list[int] = [0] * (len(_TTFT_BUCKETS_S) + 1)
        self._ttft_sum_s = self._queue_sum_s = self._decode_s = 0.0
        self._decoded = 0

    def count_request(self, status: int) -> None:
        """A chat request was answered with ``status``."""
        self._requests[status] += 1

    def count_cancelled(self) -> None:
        """A client went before its answer had ended."""
        self._cancelled += 1

    def count_answer(self, answer: ServedAnswer, queue_s: float) -> None:
        """The engine finished ``answer``, which waited ``queue_s`` seconds."""
        self._prompt_tokens += answer.prompt_tokens
        self._cached_tokens += answer.cached_tokens
        self._generated_tokens += answer.generated_tokens
        self._images["reused" if answer.reused_image else "encoded"] += 1
        self._continued += answer.continued
        self._queue_sum_s += queue_s
        self._ttft_sum_s += answer.ttft_s
        place = next((at for at, most in enumerate(_TTFT_BUCKETS_S) if answer.ttft_s <= most), len(_TTFT_BUCKETS_S))
        self._ttft_s[place] += 1
        if answer.decode_tok_s:
            later = answer.generated_tokens - 1
            self._decoded += later
            self._decode_s += later / answer.decode_tok_s

    def text(self, waiting: int, is_running: bool) -> str:
        """All figures, with the number of questions that wait and whether one is answered."""
        lines: list[str] = []

        def add(name: str, kind: str, about: str, samples: dict[str, float]) -> None:
            lines.extend((f"# HELP mvlm_{name} {about}", f"# TYPE mvlm_{name} {kind}"))
            lines.extend(f"mvlm_{name}{labels} {value}" for labels, value in samples.items())

        add(
            "requests_total",
            "counter",
            "Chat requests by HTTP status.",
            {f'{{status="{status}"}}': count for status, count in sorted(self._requests.items())},
        )
        add("cancelled_total", "counter", "Requests whose client went before the end.", {"": self._cancelled})
        add("queue_waiting", "gauge", "Questions that wait for the engine.", {"": waiting})
        add("queue_running", "gauge", "Questions that the engine answers: 0 or 1.", {"": int(is_running)})
        add("queue_seconds_total", "counter", "Time that questions waited.", {"": self._queue_sum_s})
        add("prompt_tokens_total", "counter", "Tokens of all prompts, pictures included.", {"": self._prompt_tokens})
        add("prompt_tokens_cached_total", "counter", "Those that were in the KV cache.", {"": self._cached_tokens})
        add("generated_tokens_total", "counter", "Tokens of all answers.", {"": self._generated_tokens})
        add(
            "images_total",
            "counter",
            "Pictures that were encoded for an answer, and those that had been before.",
            {f'{{state="{state}"}}': self._images[state] for state in ("encoded", "reused")},
        )
        add(
            "conversations_continued_total",
            "counter",
            "Answers that continued a conversation in the KV cache.",
            {"": self._continued},
        )
        add(
            "first_token_seconds",
            "histogram",
            "Time from the engine's start on a question to its first token.",
            self._histogram(),
        )
        add(
            "decode_tokens_per_second",
            "gauge",
            "Tokens a second after the first one, over all answers.",
            {"": self._decoded / self._decode_s if self._decode_s else 0},
        )
        add("memory_bytes", "gauge", "Resident memory of the server.", {"": resident_bytes()})
        return "\n".join(lines) + "\n"

    def _histogram(self) -> dict[str, float]:
        samples: dict[str, float] = {}
        total = 0
        for most, count in zip((*_TTFT_BUCKETS_S, "+Inf"), self._ttft_s, strict=True):
            total += count
            samples[f'_bucket{{le="{most}"}}'] = total
        return {**samples, "_sum": self._ttft_sum_s, "_count": total}


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system doesn't tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
