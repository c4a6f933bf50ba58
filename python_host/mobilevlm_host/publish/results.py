"""What was measured about a bundle: the JSON files of ``mvlm parity`` and ``mvlm evaluate``, as far as a card shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.strict_json import JsonError, read_json

# The stages that a card shows, each with its figure; a figure of null is infinite: the stage's results are equal.
STAGES = {
    "vision_encoder": "snr_db",
    "projector": "snr_db",
    "token_embedding": "snr_db",
    "prefill": "mean_kl",
    "decode": "mean_kl",
    "answer": "same",
}


@dataclass(frozen=True)
class Results:
    """Records of one bundle: ``parity`` and ``evaluations``, each as its command printed it with ``--json``, with the types that a card
    needs.
    """

    parity: dict[str, Any] | None = None
    evaluations: tuple[dict[str, Any], ...] = ()


def read_results(parity: Path | None, evaluations: Sequence[Path]) -> Results:
    """The records in the files ``parity`` and ``evaluations``.

    Raises:
        OutputError: a file is not what its command prints with ``--json``.
    """
    compared = _read(parity, "mvlm parity", _is_parity) if parity else None
    return Results(compared, tuple(_read(path, "mvlm evaluate", _is_evaluation) for path in evaluations))


def _is_parity(found: dict[str, Any]) -> bool:
    stages = found.get("stages")
    return (
        all(isinstance(found.get(key), str) for key in ("verdict", "backend"))
        and isinstance(found.get("samples"), int)
        and isinstance(stages, dict)
        and all(_is_stage(stages.get(name), metric) for name, metric in STAGES.items())
    )


def _is_stage(found: Any, metric: str) -> bool:
    metrics = found.get("metrics") if isinstance(found, dict) else None
    return (
        isinstance(metrics, dict)
        and metric in metrics
        and (metrics[metric] is None or _all_numbers([metrics[metric]]))
        and isinstance(found.get("passed"), bool)
    )


def _is_evaluation(found: dict[str, Any]) -> bool:
    metrics, against = found.get("metrics"), found.get("against")
    return (
        isinstance(found.get("benchmark"), str)
        and isinstance(found.get("questions"), int)
        and isinstance(metrics, dict)
        and bool(metrics)
        and _all_numbers(metrics.values())
        and (against is None or _is_comparison(against))
    )


def _is_comparison(found: Any) -> bool:
    interval = found.get("interval", ()) if isinstance(found, dict) else ()  # null: the questions are about one image
    return (
        (interval is None or (isinstance(interval, list) and len(interval) == 2 and _all_numbers(interval)))
        and isinstance(found.get("system"), str)
        and _all_numbers([found.get("difference")])
    )


def _all_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _read(path: Path, command: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (JsonError, OSError) as error:
        raise OutputError(f"{path}: {error}, expected the output of {command} --json") from None
    if not isinstance(found, dict) or not is_it(found):
        raise OutputError(f"{path}: got another JSON file, expected the output of {command} --json")
    return found
