"""Run a bundle's ``model.pte`` with the engine of Android phones, called by the app's own code."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.progress import Progress, silent
from mobilevlm_host.android.host import AndroidHost
from mobilevlm_host.engines.methods_process import MethodsProcess


class AndroidMethods:
    """:class:`mobilevlm_host.engines.methods.Methods` through the app's ``ExecuTorchMethods``, and the app's own check with its
    ``ExecuTorchEngine``; a context manager.
    """

    def __init__(self, bundle: Bundle, host: AndroidHost, progress: Progress = silent) -> None:
        """Run ``bundle`` on ``host``.

        Raises:
            BundleError: the bundle has no ExecuTorch program.
            EngineError: as :meth:`AndroidHost.command`.
        """
        bundle.artifact("executorch")
        command = [*host.command(progress), str(bundle.path.resolve())]
        self._process = MethodsProcess(command, "android", host.machine)

    def vision_encoder(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Image embeddings [1, tokens, D]; features are empty, because the app doesn't read them."""
        return self._process.call("vision_encoder", pixels)[0], torch.empty(0)

    def token_embedding(self, ids: Tensor) -> Tensor:
        """See the protocol."""
        return self._process.call("token_embedding", ids)[0]

    def text_decoder(self, embeds: Tensor, position: int) -> Tensor:
        """See the protocol."""
        return self._process.call("text_decoder", embeds, torch.tensor([position]))[0]

    def check(self) -> dict[str, list[dict[str, Any]]]:
        """The findings of "Check this phone" for each golden record, by image: ``stage``, ``same`` and ``detail``.

        Raises:
            EngineError: the app or its engine failed.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for finding in self._call("check")["findings"]:
            found.setdefault(finding["picture"], []).append(finding)
        return found

    def bench(self) -> dict[str, Any]:
        """Speed and memory, measured by ``EngineBench``; errors as :meth:`check`."""
        return dict(self._call("bench"))

    def _call(self, call: str) -> Any:
        return json.loads(self._process.call(call)[0].numpy().tobytes())

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> AndroidMethods:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
