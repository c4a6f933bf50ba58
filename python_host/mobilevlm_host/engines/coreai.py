"""The methods of a bundle's Core AI programs, experimental: their twins, with Apple's runtime on this machine.

A twin has the saved program's operators and integers, and float32 wherever the program has float16.
"""

from __future__ import annotations

import asyncio
import copy
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.dependencies.coreai_private import require_coreai
from mobilevlm_export.errors import MobileVLMError, RunnerError
from mobilevlm_export.files.sha256 import file_sha256
from mobilevlm_export.lower.coreai_twin import PROGRAM_FILE, write_twin
from mobilevlm_export.lower.token_table import read_token_table
from mobilevlm_host.engines.methods import ComputedBy, require_room
from mobilevlm_host.engines.native_output import native_output_hidden

TWIN = ComputedBy(
    "coreai",
    "Core AI (experimental): the bundle's programs with float32 for float16, run by Apple's runtime on this machine. This shows "
    "their graph, integer weights and states. It can't show float16 on Apple's chips, their speed, or the device's own compiler.",
)
_FUNCTION = "main"


class LoadedProgram:
    """A saved program, compiled and loaded."""

    def __init__(self, asset: Path) -> None:
        """Load ``asset``, which isn't needed any more then.

        Raises:
            RunnerError: the program is damaged, or the runtime can't load it.
        """
        from coreai.authoring.asset import AIModelAsset

        self._name = asset.name
        self._loop, self._opened = asyncio.new_event_loop(), AsyncExitStack()
        self._close = weakref.finalize(self, _closed, self._loop, self._opened)
        try:
            with native_output_hidden():
                executable = AIModelAsset.load(asset).executable()
                model = self._loop.run_until_complete(self._opened.enter_async_context(executable))
                self._function = model.load_function(_FUNCTION)
        except Exception as error:  # the runtime raises nothing more specific
            raise RunnerError(f"{asset}: Core AI can't load it ({_first_line(error)})") from error

    def run(self, inputs: Mapping[str, Tensor], states: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """The outputs; ``states``, made by :meth:`make_states`, are updated.

        Raises:
            RunnerError: the runtime can't run it.
        """
        from coreai.runtime import NDArray

        given = {name: NDArray(np.ascontiguousarray(value.detach().numpy())) for name, value in inputs.items()}
        try:
            with native_output_hidden():
                outputs = self._loop.run_until_complete(self._function(given, dict(states or {})))
        except Exception as error:
            raise RunnerError(f"{self._name}: Core AI can't run it ({_first_line(error)})") from error
        return {name: torch.from_numpy(np.array(value.numpy())) for name, value in outputs.items()}

    def make_states(self) -> dict[str, Any]:
        """Zero states."""
        from coreai.runtime import NDArray

        described = self._function.desc
        shapes = {name: described.state_descriptor(name).shape for name in described.state_names}
        types = {name: described.state_descriptor(name).dtype.lower() for name in shapes}
        return {name: NDArray(np.zeros(shape, dtype=types[name])) for name, shape in shapes.items()}


def load_twin(asset: Path) -> LoadedProgram:
    """The twin of the saved program ``asset``.

    Raises:
        DependencyError: Core AI's packages are other versions.
        RunnerError: the program is damaged, or the runtime can't load it.
    """
    _require_whole(asset)
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / asset.name
        try:
            with native_output_hidden():
                write_twin(asset, twin)
        except MobileVLMError:
            raise
        except Exception as error:  # the package raises nothing more specific
            raise RunnerError(f"{asset}: Core AI can't load it ({_first_line(error)})") from error
        return LoadedProgram(twin)


class CoreAIMethods:
    """The :class:`~mobilevlm_host.engines.methods.Methods` of a bundle's Core AI programs and token table."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the artifacts of ``bundle``.

        Raises:
            BundleError: the bundle has none for Core AI.
            DependencyError: Core AI's packages are missing or other versions.
            RunnerError: a program is damaged, or the runtime can't load it.
        """
        bundle.artifact("coreai")
        require_coreai()
        made: Any = bundle.manifest.values["artifacts"]["coreai"]
        vision, text = ((bundle.path / made[part]["file"]).parent for part in ("vision_encoder", "text_decoder"))
        self._context, self._where = int(made["max_context"]), text
        self._vision, self._decoder = load_twin(vision), load_twin(text)
        self._table = read_token_table(bundle.path / made["token_embedding"]["file"])
        self._states = self._decoder.make_states()

    def with_own_cache(self) -> CoreAIMethods:
        """The same programs and weights with a separate KV cache."""
        other = copy.copy(self)
        other._states = self._decoder.make_states()
        return other

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`~mobilevlm_host.engines.methods.Methods`."""
        outputs = self._vision.run({"pixels": pixels})
        return outputs["image_embeddings"], outputs["features"]

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See :class:`~mobilevlm_host.engines.methods.Methods`."""
        return self._table[ids]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See :class:`~mobilevlm_host.engines.methods.Methods`.

        Raises:
            RunnerError: there are more tokens than fit the program's state.
        """
        require_room(self._where, embeds.shape[1], position, self._context)
        positions = torch.arange(position + embeds.shape[1], dtype=torch.int32)[None]
        return self._decoder.run({"embeds": embeds.float(), "position_ids": positions}, self._states)[
            "logits"
        ].flatten()


def open_coreai(bundle: Bundle, threads: int | None = None) -> CoreAIMethods:
    """The Core AI methods of ``bundle``. Errors as :class:`CoreAIMethods`, and:

    Raises:
        RunnerError: a number of ``threads`` is given, which Apple's runtime chooses itself.
    """
    if threads is not None:
        raise RunnerError(f"threads: got {threads}, expected none with Core AI, whose runtime chooses them itself")
    return CoreAIMethods(bundle)


def _require_whole(asset: Path) -> None:
    """Raise RunnerError if ``asset`` isn't as it was saved: the runtime ends the process when it reads a damaged program."""
    try:
        kept, got = (asset / "main.hash").read_bytes(), file_sha256(asset / PROGRAM_FILE)
    except OSError as error:
        raise RunnerError(f"{error.filename}: {error.strerror}, expected a file of a Core AI program") from None
    if got != kept.hex():
        raise RunnerError(f"{asset}: Core AI can't load it: got SHA-256 {got[:16]}…, expected {kept.hex()[:16]}…")


def _closed(loop: asyncio.AbstractEventLoop, opened: AsyncExitStack) -> None:
    loop.run_until_complete(opened.aclose())
    loop.close()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
