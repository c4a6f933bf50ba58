"""What an ExecuTorch program requires of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import ApkError, LoweringError
from mobilevlm_export.lower.program_file import ProgramFile
from mobilevlm_export.lower.unpacked_constants import UnpackedConstant, unpacked_constants


@dataclass(frozen=True)
class Needs:
    """Operators with overloads, such as ``llama::custom_sdpa.out``; backends, such as ``XnnpackBackend``; and constants that
    engines must not free, although those of phones do: there should be none.
    """

    operators: frozenset[str]
    backends: frozenset[str]
    unpacked_constants: tuple[UnpackedConstant, ...] = ()


def program_needs(path: Path) -> Needs:
    """The needs of the program ``path``. Only its tables are read, not its weights.

    Raises ``ApkError`` if it is not an ExecuTorch program.
    """
    try:
        plans = ProgramFile(path).tables["execution_plan"]
        unpacked = unpacked_constants(path)
    except LoweringError as error:
        raise ApkError(str(error)) from error
    return Needs(
        frozenset(
            f"{operator['name']}.{operator['overload']}" if operator["overload"] else operator["name"]
            for plan in plans
            for operator in plan.get("operators", [])
        ),
        frozenset(delegate["id"] for plan in plans for delegate in plan.get("delegates", [])),
        tuple(unpacked),
    )
