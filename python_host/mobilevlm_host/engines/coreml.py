"""The methods of a bundle's Core ML programs: with this kit's evaluator on any desktop, or with Core ML itself on a recent Mac.

The saved packages themselves are run, like in the app: an image in, ``prefill`` for chunks of a prompt with the last one padded,
``decode`` for single tokens, both with one state.
"""

from __future__ import annotations

import copy
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import RunnerError
from mobilevlm_export.lower.token_table import read_token_table
from mobilevlm_host.engines.executorch import require_threads
from mobilevlm_host.engines.methods import ComputedBy, require_room
from mobilevlm_host.mil import Program

_LEAST_MACOS = 15  # the first whose Core ML supports states

EVALUATED = ComputedBy(
    "mobilevlm_host.mil",
    "Core ML's saved programs, evaluated in torch. This shows their graph, weights, states, and fp16 rounding as the programs say. "
    "It can't show Apple's kernels or the Neural Engine: on a Mac with macOS 15, the same command runs Core ML itself.",
)
PREDICTED = ComputedBy(
    "coreml",
    "Core ML itself, on this Mac's CPU and GPU. A phone's kernels, and the Neural Engine, may round in other ways.",
)


class RunnablePackage(Protocol):
    """A package that can be run, with inputs and outputs by name, and opaque states."""

    def run(self, function: str, inputs: Mapping[str, Tensor], state: Any = None) -> dict[str, Tensor]:
        """The outputs of ``function``; ``state`` is updated."""
        ...

    def make_state(self) -> Any:
        """A zero state for all functions."""
        ...


class EvaluatedPackage:
    """A package run with :mod:`mobilevlm_host.mil`, which rounds to fp16 where the program does."""

    def __init__(self, path: Path, functions: Sequence[str]) -> None:
        """Open ``functions`` of the package ``path``.

        Raises:
            MilError: it can't be read, or a function is missing or has operations that the evaluator doesn't support.
        """
        self._program = Program.open(path)
        self._functions = {name: self._program.function(name) for name in functions}

    def run(self, function: str, inputs: Mapping[str, Tensor], state: Any = None) -> dict[str, Tensor]:
        """See :class:`RunnablePackage`; errors as :meth:`mobilevlm_host.mil.Function.run`."""
        return self._functions[function].run(inputs, state)

    def make_state(self) -> Any:
        """See :class:`RunnablePackage`."""
        return self._program.make_state()


class PredictedPackage:
    """A package run with Core ML's own ``predict``, through ``coremltools.models.MLModel``."""

    def __init__(self, path: Path, functions: Sequence[str]) -> None:
        """Load ``functions`` of the package ``path``.

        Raises:
            RunnerError: Core ML can't load it.
        """
        import coremltools as ct

        self._path = path
        try:
            self._functions = {
                name: ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_AND_GPU, function_name=name)
                for name in functions
            }
        except Exception as error:  # Core ML Tools often raises nothing more specific
            raise RunnerError(f"{path}: Core ML can't load it ({_first_line(error)})") from error

    def run(self, function: str, inputs: Mapping[str, Tensor], state: Any = None) -> dict[str, Tensor]:
        """See :class:`RunnablePackage`.

        Raises:
            RunnerError: Core ML can't run the function.
        """
        given = {name: _picture(value) if name == "image" else _array(value) for name, value in inputs.items()}
        try:
            outputs = self._functions[function].predict(given, state)
        except Exception as error:
            raise RunnerError(f"{self._path}: {function}: Core ML can't run it ({_first_line(error)})") from error
        return {name: torch.from_numpy(np.asarray(value)) for name, value in outputs.items()}

    def make_state(self) -> Any:
        """See :class:`RunnablePackage`; the functions of one package may share it."""
        return next(iter(self._functions.values())).make_state()


class CoreMLMethods:
    """The :class:`~mobilevlm_host.engines.methods.Methods` of a bundle's Core ML packages and token table."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the artifacts of ``bundle``.

        Raises:
            BundleError: the bundle has none for Core ML.
            MilError: a program is damaged, lacks a function, or has operations that the evaluator doesn't support.
        """
        bundle.artifact("coreml")
        made: Any = bundle.manifest.values["artifacts"]["coreml"]
        vision, text = (bundle.path / made[part]["package"] for part in ("vision_encoder", "text_decoder"))
        table = bundle.path / made["token_embedding"]["file"]
        self._chunk, self._context = int(made["prefill_chunk"]), int(made["max_context"])
        self._where = text
        opened: Callable[[Path, Sequence[str]], RunnablePackage] = (
            PredictedPackage if core_ml_is_here() else EvaluatedPackage
        )
        self._vision, self._decoder = opened(vision, ("main",)), opened(text, ("prefill", "decode"))
        self._table = read_token_table(table)
        self._state = self._decoder.make_state()

    def with_own_cache(self) -> CoreMLMethods:
        """The same programs and weights with a separate KV cache."""
        other = copy.copy(self)
        other._state = self._decoder.make_state()
        return other

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`~mobilevlm_host.engines.methods.Methods`."""
        outputs = self._vision.run("main", {"image": pixels})
        return outputs["image_embeddings"].float(), outputs["features"].float()

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`~mobilevlm_host.engines.methods.Methods`."""
        return self._table[ids]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`~mobilevlm_host.engines.methods.Methods`.

        Raises:
            RunnerError: there are more tokens than fit the program's state.
        """
        require_room(self._where, embeds.shape[1], position, self._context)
        for chunk in embeds.split(self._chunk, dim=1):
            logits = self._feed(chunk, position)
            position += chunk.shape[1]
        return logits.float().flatten()

    def _feed(self, embeds: Tensor, position: int) -> Tensor:
        inputs = {"embeds": embeds, "input_pos": torch.tensor([position], dtype=torch.int32)}
        tokens = embeds.shape[1]
        if tokens == 1:
            return self._decoder.run("decode", inputs, self._state)["logits"]
        padding = embeds.new_zeros(1, self._chunk - tokens, embeds.shape[2])
        inputs |= {"embeds": torch.cat([embeds, padding], dim=1), "length": torch.tensor([tokens], dtype=torch.int32)}
        return self._decoder.run("prefill", inputs, self._state)["logits"]


def open_coreml(bundle: Bundle, threads: int | None = None) -> CoreMLMethods:
    """The Core ML methods of ``bundle``; ``threads`` sets torch's CPU threads of the whole process. Errors as
    :class:`CoreMLMethods`.
    """
    if threads is not None:
        require_threads(threads)
        torch.set_num_threads(threads)
    return CoreMLMethods(bundle)


def core_ml_is_here() -> bool:
    """Whether Core ML on this machine can run programs with states."""
    version = platform.mac_ver()[0].split(".")[0]
    return sys.platform == "darwin" and version.isdigit() and int(version) >= _LEAST_MACOS


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return value.float().numpy() if value.is_floating_point() else value.numpy()


def _picture(pixels: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray(pixels[0].permute(1, 2, 0).contiguous().numpy())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
