"""The state from which a training run resumes: weights, optimizer and step, in one file.

The file is the same whether or not the parameters are sharded over processes: everything in it is gathered, under the
parameters' own names. It is written by the first process and read without unpickling code.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from mobilevlm_export.errors import TrainError
from mobilevlm_export.files.atomic_file import atomic_file

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Steps:
    """Counts the optimizer steps of a run: ``done`` since its start. The state is saved every ``save_every`` steps, after the last
    of ``total``, and when the run is interrupted or terminated.
    """

    def __init__(
        self, path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, total: int, save_every: int
    ) -> None:
        """Restore the state in ``path``, if any; errors as :func:`load_state`."""
        self._path, self._module, self._optimizer = path, module, optimizer
        self._total, self._save_every = total, save_every
        self.done = self._saved = load_state(path, module, optimizer)
        self._whole = True  # the weights are those after `done` steps

    def take(self) -> None:
        """Update the weights with their gradients."""
        self._whole = False
        self._optimizer.step()
        self.done += 1
        self._whole = True

    def save_if_due(self) -> None:
        """Save the state if it is due; call this after each step, once its progress is reported."""
        if self.done % self._save_every == 0 or self.done == self._total:
            self._save()

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A sharded state must be gathered by all processes at the same step, which an interruption can't ensure.
        if isinstance(error, (KeyboardInterrupt, SystemExit)) and self._whole and not dist.is_initialized():
            self._save()

    def _save(self) -> None:
        if self.done > self._saved:
            save_state(self._path, self._module, self._optimizer, self.done)
            self._saved = self.done


def save_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state atomically: a run killed while saving leaves the previous state."""
    model_state, optimizer_state = get_state_dict(module, optimizer, options=_WHOLE)
    if not dist.is_initialized() or dist.get_rank() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            torch.save({"model": model_state, "optimizer": optimizer_state, "step": step}, temporary)
    if dist.is_initialized():
        dist.barrier()


def load_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore a state written by :func:`save_state`; returns the number of steps done, 0 if there is no file.

    Raises:
        TrainError: the file is damaged or from another model.
    """
    if not path.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        set_state_dict(
            module,
            optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=StateDictOptions(full_state_dict=True),
        )
        return int(state["step"])
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TrainError(f"{path}: got a training state that doesn't fit ({reason}), expected this run's own") from None
