"""What was measured about a bundle: the JSON files of ``mvlm parity`` and ``mvlm evaluate``, as far as a card shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import OutputError
from mobilevlm_export.files.strict_json import JsonError, read_json

_STAGES = ("vision_encoder", "projector", "token_embedding", "prefill", "decode", "answer")


@dataclass(frozen=True)
class Results:
    """Records of one bundle: ``parity`` and ``evaluations``, each as its command printed it with ``--json``."""

    parity: dict[str, Any] | None = None
    evaluations: tuple[dict[str, Any], ...] = ()


def read_results(parity: Path | None, evaluations: Sequence[Path]) -> Results:
    """The records in the files ``parity`` and ``evaluations``.

    Raises:
        OutputError: a file is not what its command prints with ``--json``.
    """
    compared = None
    if parity:
        compared = _read(parity, "mvlm parity", ("verdict", "backend", "samples", "stages"))
        stages = compared["stages"]
        if not isinstance(stages, dict) or not all(isinstance(stages.get(name), dict) for name in _STAGES):
            raise OutputError(f"{parity}: got other stages, expected {', '.join(_STAGES)} as mvlm parity prints them")
    read = [_read(path, "mvlm evaluate", ("benchmark", "questions", "metrics")) for path in evaluations]
    return Results(compared, tuple(read))


def _read(path: Path, command: str, keys: Sequence[str]) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (JsonError, OSError) as error:
        raise OutputError(f"{path}: {error}, expected the output of {command} --json") from None
    if not isinstance(found, dict) or any(key not in found for key in keys):
        raise OutputError(f"{path}: got another JSON file, expected the output of {command} --json")
    return found
