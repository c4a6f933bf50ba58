"""The results of a comparison as a table and as JSON: medians, and ratios with their spread over the rounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from mobilevlm_export.progress import megabytes
from mobilevlm_host.bench.bench_report import machine
from mobilevlm_host.bench.measurement import Spread
from mobilevlm_host.terminal.output import print_table

# Figures with labels; True if more is better, so that a ratio above 1 always favors the kit.
_FIGURES: Mapping[str, tuple[str, bool]] = {
    # Opening, plus the extra time of the first question over the second.
    "load_s": ("load and warm up", False),
    "image_encode_s": ("image encode", False),
    "prefill_tok_s": ("prefill, {} tokens", True),
    "decode_tok_s": ("decode", True),
    "first_ttft_s": ("first token, first ask", False),
    "ttft_s": ("first token, scratch", False),
    "ttft_prepared_s": ("first token, prepared", False),
    "peak_memory_bytes": ("peak memory", False),
    "own_memory_bytes": ("… without libraries", False),
}
# Opening alone, in other ways than in the rounds, where the packed weights are mapped from a file.
_LOADS = {"load_in_memory_s": "load, weights in memory", "load_writing_s": "load, writing them once"}
_FROM_SCRATCH, _PREPARED = "ttft_s", "ttft_prepared_s"


@dataclass(frozen=True)
class Accuracy:
    """Of ``questions``: how many answers equal the fp32 model's, how many are correct, and how many of the fp32 model's are."""

    questions: int
    same: int
    right: int
    fp32_right: int


@dataclass(frozen=True)
class ComparedSystem:
    """One engine with its files. ``types`` counts the matrices by type, if they differ."""

    name: str
    file_bytes: int
    bytes_per_token: int
    figures: Mapping[str, Spread]
    accuracy: Accuracy | None = None
    types: str = ""


@dataclass(frozen=True)
class PeerComparison:
    """All measurements. Samples with the same index are from the same round."""

    model: str
    threads: int
    rounds: int
    prefill_tokens: int
    limits: Mapping[str, Spread]
    kit: ComparedSystem
    peers: Sequence[ComparedSystem]
    operations_per_token: int
    operations_per_image: int
    loads: Mapping[str, Spread] = field(
        default_factory=dict
    )  # the kit's without its file of packed weights, if it has one

    def ratio(self, figure: str, peer: ComparedSystem, kit_figure: str | None = None) -> Spread:
        """How many times better than ``peer`` the kit was in each round: ``figure``, compared with the kit's ``kit_figure`` if given."""
        ours, theirs = self.kit.figures[kit_figure or figure].samples, peer.figures[figure].samples
        more_is_better = _FIGURES[figure][1]
        return Spread(tuple(a / b if more_is_better else b / a for a, b in zip(ours, theirs, strict=True)))

    def shares(self, system: ComparedSystem) -> dict[str, Spread]:
        """The fraction of this machine's peaks that ``system`` reached, 0 to 1: reading memory, and int8 products."""
        read = [system.bytes_per_token * rate for rate in system.figures["decode_tok_s"].samples]
        prefill = [self.operations_per_token * rate for rate in system.figures["prefill_tok_s"].samples]
        encode = [self.operations_per_image / seconds for seconds in system.figures["image_encode_s"].samples]
        peaks = {"decode": "memory_bytes_s", "prefill": "int8_ops_s", "image encode": "int8_ops_s"}
        reached = {"decode": read, "prefill": prefill, "image encode": encode}
        return {
            name: Spread(tuple(a / b for a, b in zip(reached[name], self.limits[peak].samples, strict=True)))
            for name, peak in peaks.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "model": self.model,
            "threads": self.threads,
            "rounds": self.rounds,
            "prefill_tokens": self.prefill_tokens,
            "machine": machine() | {"llama_cpp_python": version("llama-cpp-python")},
            "limits": {name: spread.to_json() for name, spread in self.limits.items()},
            "loads": {name: spread.to_json() for name, spread in self.loads.items()},
            "systems": [self._system_json(system) for system in (self.kit, *self.peers)],
            "ratios": {peer.name: self._ratios_json(peer) for peer in self.peers},
        }

    def _system_json(self, system: ComparedSystem) -> dict[str, Any]:
        return {
            "name": system.name,
            "file_bytes": system.file_bytes,
            "types": system.types,
            "figures": {name: spread.to_json() for name, spread in system.figures.items()},
            "share_of_peak": {name: spread.to_json() for name, spread in self.shares(system).items()},
            "accuracy": asdict(system.accuracy) if system.accuracy else None,
        }

    def _ratios_json(self, peer: ComparedSystem) -> dict[str, Any]:
        ratios = {figure: self.ratio(figure, peer).to_json() for figure in _FIGURES}
        prepared = self.ratio(_FROM_SCRATCH, peer, _PREPARED).to_json()
        return ratios | {"ttft_prepared_to_peer_from_scratch": prepared, "files": peer.file_bytes / self.kit.file_bytes}


def print_comparison(found: PeerComparison) -> None:
    """Print one table on stdout: per figure, the kit's median, and each peer's median and ratio."""
    columns = ["", found.kit.name]
    for peer in found.peers:
        columns += [peer.name, "better by"]
    print_table(
        f"{found.model}: {found.kit.name} and llama.cpp, {found.threads} threads, {found.rounds} interleaved rounds, each in a fresh "
        "process. Medians; ratios within a round with quartiles, above 1 where the kit is better",
        columns,
        [*_figure_rows(found), _file_row(found), *_share_rows(found), *_accuracy_rows(found)],
    )
    memory, ops = found.limits["memory_bytes_s"].median, found.limits["int8_ops_s"].median
    print(
        f"This machine's peaks in the same rounds: {memory / 1e9:.1f} GB/s read, {ops / 1e9:.0f} G int8 operations/s."
    )
    for peer in found.peers:
        print(f"{peer.name}: {peer.types}.")
    if (load := os.getloadavg()[0]) > found.threads + 1:
        print(f"Other processes were running (load average {load:.1f}): figures may be affected.")


def _figure_rows(found: PeerComparison) -> list[list[str]]:
    rows = []
    for figure, (label, _) in _FIGURES.items():
        show = _shown(figure)
        row = [label.format(found.prefill_tokens), show(found.kit.figures[figure].median)]
        for peer in found.peers:
            row += [show(peer.figures[figure].median), _ratio(found.ratio(figure, peer))]
        rows.append(row)
    for name, label in _LOADS.items():
        if name in found.loads:
            rows.append([label, _seconds(found.loads[name].median), *[""] * (2 * len(found.peers))])
    row = ["prepared to its scratch", _seconds(found.kit.figures[_PREPARED].median)]
    for peer in found.peers:
        row += [_seconds(peer.figures[_FROM_SCRATCH].median), _ratio(found.ratio(_FROM_SCRATCH, peer, _PREPARED))]
    return [*rows, row]


def _file_row(found: PeerComparison) -> list[str]:
    row = ["files, all parts", megabytes(found.kit.file_bytes)]
    for peer in found.peers:
        row += [megabytes(peer.file_bytes), f"{peer.file_bytes / found.kit.file_bytes:.2f}"]
    return row


def _share_rows(found: PeerComparison) -> list[list[str]]:
    ours = found.shares(found.kit)
    labels = {
        "decode": "decode, of memory peak",
        "prefill": "prefill, of int8 peak",
        "image encode": "encode, of int8 peak",
    }
    rows = []
    for name, share in ours.items():
        row = [labels[name], f"{share.median:.0%}"]
        for peer in found.peers:
            row += [f"{found.shares(peer)[name].median:.0%}", ""]
        rows.append(row)
    return rows


def _accuracy_rows(found: PeerComparison) -> list[list[str]]:
    if found.kit.accuracy is None:
        return []
    questions, fp32 = found.kit.accuracy.questions, found.kit.accuracy.fp32_right
    rows = [[f"answers equal to fp32's, of {questions}"], [f"correct (fp32: {fp32})"]]
    for system in (found.kit, *found.peers):
        assert system.accuracy is not None
        between = [] if system is found.kit else [""]
        rows[0] += [f"{system.accuracy.same}", *between]
        rows[1] += [f"{system.accuracy.right}", *between]
    return rows


def _shown(figure: str) -> Callable[[float], str]:
    if figure.endswith("_bytes"):
        return lambda value: megabytes(int(value))
    return _rate if figure.endswith("_tok_s") else _seconds


def _ratio(spread: Spread) -> str:
    low, high = spread.quartiles
    return f"{spread.median:.2f} ({low:.2f}–{high:.2f})"


def _rate(value: float) -> str:
    return f"{value:.1f} tok/s" if value < 100 else f"{value:.0f} tok/s"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"
