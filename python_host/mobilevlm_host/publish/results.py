"""What was measured about a bundle: the JSON files of ``mvlm parity`` and ``mvlm evaluate``, as far as a card shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.strict_json import JsonError, read_json

STAGES = ("vision_encoder", "projector", "token_embedding", "prefill", "decode", "answer")


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
        and all(isinstance(stages.get(name), dict) for name in STAGES)
        and all(_are_numbers(stages[name].get("metrics", {}), or_null=True) for name in STAGES)
    )


def _is_evaluation(found: dict[str, Any]) -> bool:
    metrics, against = found.get("metrics"), found.get("against")
    return (
        isinstance(found.get("benchmark"), str)
        and isinstance(found.get("questions"), int)
        and bool(metrics)
        and _are_numbers(metrics)
        and (against is None or _is_comparison(against))
    )


def _is_comparison(found: Any) -> bool:
    interval = found.get("interval") if isinstance(found, dict) else None
    return isinstance(interval, list) and len(interval) == 2 and _all_numbers([found.get("difference"), *interval])


def _are_numbers(found: Any, *, or_null: bool = False) -> bool:
    return isinstance(found, dict) and _all_numbers(
        value for value in found.values() if not (or_null and value is None)
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
