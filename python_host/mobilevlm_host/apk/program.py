"""What an ExecuTorch program asks of an engine."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from mobilevlm_export.errors import ApkError

_IDENTIFIER = b"ET12"
_HEADER_AT, _HEADER = 8, b"eh00"


@dataclass(frozen=True)
class Needs:
    """Operators with overloads, such as ``llama::custom_sdpa.out``; backends, such as ``XnnpackBackend``."""

    operators: frozenset[str]
    backends: frozenset[str]


def program_needs(path: Path) -> Needs:
    """What the program in ``path`` needs. Only its tables are read, not the weights behind them.

    Raises ``ApkError`` if it is not an ExecuTorch program.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] != _IDENTIFIER:
            raise ApkError(f"{path}: got {head[4:8]!r}, expected an ExecuTorch program ({_IDENTIFIER.decode()})")
        size = path.stat().st_size
        if head[_HEADER_AT : _HEADER_AT + 4] == _HEADER:  # then segments with weights follow the tables
            size = struct.unpack_from("<Q", head, _HEADER_AT + 8)[0]
        file.seek(0)
        tables = bytearray(file.read(size))
    tables[_HEADER_AT : _HEADER_AT + 4] = b"\0\0\0\0"  # without the header, the segments aren't looked for
    try:
        program = deserialize_pte_binary(bytes(tables))
    except Exception as error:  # the reader knows no error of its own
        raise ApkError(f"{path}: {error}, expected an ExecuTorch program") from error
    plans = getattr(program, "program", program).execution_plan
    return Needs(
        frozenset(
            f"{operator.name}.{operator.overload}" if operator.overload else operator.name
            for plan in plans
            for operator in plan.operators
        ),
        frozenset(delegate.id for plan in plans for delegate in plan.delegates),
    )
