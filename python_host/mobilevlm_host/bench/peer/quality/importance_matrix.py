"""llama.cpp's importance matrix of a language model, by its own tool: how large the inputs of each linear are, channel by channel.

The tool reads text only: questions and answers like those that the kit calibrates with, but no image.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray

from mobilevlm_export import prompt
from mobilevlm_export.demo.questions import questions
from mobilevlm_export.demo.scenes import TRAIN_SEEDS, make_scene
from mobilevlm_export.errors import RunnerError

_SCENES = 128
_SUMS, _COUNTS = ".in_sum2", ".counts"


def importance_tool() -> Path:
    """The tool ``llama-imatrix``, which ``make bench`` compiles into the package ``llama-cpp-python``.

    Raises:
        RunnerError: it is missing.
    """
    import llama_cpp

    [folder] = llama_cpp.__path__
    tool = Path(folder) / "lib" / "llama-imatrix"
    if not tool.is_file():
        raise RunnerError(
            f"{tool}: no such file, expected llama.cpp's tool; make bench QUALITY=1 compiles it (about 15 minutes, once)"
        )
    return tool


def importance_matrix(language_model: Path, context: int, threads: int) -> dict[str, NDArray[np.float32]]:
    """The mean square of each input, by the name of the weight in ``language_model`` (GGUF): float32 [inputs].

    Raises:
        RunnerError: the tool is missing or fails.
    """
    text, output = language_model.with_suffix(".txt"), language_model.with_suffix(".imatrix.gguf")
    text.write_text(_calibration_text(), encoding="utf-8")
    arguments = ("-m", language_model, "-f", text, "-o", output, "-c", context, "-t", threads, "--no-ppl")
    command = [str(importance_tool()), *(str(each) for each in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or not output.is_file():
        reason = (done.stderr.strip().splitlines() or ["without an error message"])[-1]
        raise RunnerError(f"{language_model}: llama-imatrix fails with exit code {done.returncode} ({reason})")
    return read_importance(output)


def read_importance(file: Path) -> dict[str, NDArray[np.float32]]:
    """The matrix in a ``file`` of the tool, which has sums of squares and the number of tokens they are over."""
    tensors: Mapping[str, NDArray[np.float32]] = {
        tensor.name: np.asarray(tensor.data, dtype=np.float32).ravel() for tensor in GGUFReader(file).tensors
    }
    return {
        name.removesuffix(_SUMS): sums / tensors[name.removesuffix(_SUMS) + _COUNTS]
        for name, sums in tensors.items()
        if name.endswith(_SUMS)
    }


def _calibration_text() -> str:
    lines = []
    for seed in TRAIN_SEEDS[-_SCENES:]:
        [qa] = questions(make_scene(seed), seed, count=1)
        lines.append(f"{prompt.prefix()}{prompt.after_image(qa.question)} {qa.answer}\n")
    return "".join(lines)
