"""Whether llama.cpp is installed."""

from __future__ import annotations

from importlib import import_module

from mobilevlm_export.errors import RunnerError


def require_peer() -> None:
    """Raise RunnerError unless llama.cpp and what writes its files are installed."""
    for name in ("llama_cpp.mtmd_cpp", "gguf"):
        try:
            import_module(name)
        except (ImportError, OSError, RuntimeError) as error:  # missing, or compiled for another kind of machine
            raise RunnerError(
                f"llama.cpp: {name} can't be imported ({str(error).splitlines()[0]}); make bench installs it "
                "(about 15 minutes, once), or: pip install -e '.[bench]'"
            ) from None
