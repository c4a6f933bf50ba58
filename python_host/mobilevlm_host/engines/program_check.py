"""An ExecuTorch program's tables checked before an engine follows what they say: one that lies there ends the whole process."""

from __future__ import annotations

from pathlib import Path

from mobilevlm_export.dependencies.executorch_private import LOAD_PROGRAM, VERIFICATION
from mobilevlm_export.errors import RunnerError
from mobilevlm_host.engines.native_output import runtime_output_hidden

_IDENTIFIER = b"ET12"


def require_sound(program: Path) -> None:
    """Verify the tables of ``program``; weights stay in the file, whatever its size.

    Raises:
        RunnerError: it isn't an ExecuTorch program, or its tables are damaged.
    """
    with program.open("rb") as file:
        # The runtime would print another one, as text; what isn't text ends the process.
        if (got := file.read(8)[4:]) != _IDENTIFIER:
            raise RunnerError(f"{program}: got {got!r}, expected an ExecuTorch program ({_IDENTIFIER.decode()})")
    with runtime_output_hidden():
        load_program, verification = LOAD_PROGRAM.load(), VERIFICATION.load()
        try:
            load_program(str(program), program_verification=verification.InternalConsistency)
        except (RuntimeError, UnicodeDecodeError) as error:
            raise RunnerError(f"{program}: the runtime can't load it ({str(error).splitlines()[0]})") from None
