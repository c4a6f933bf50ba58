"""What a training run needs to go on where it stopped: weights, optimizer and step, in one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobilevlm_export.errors import TrainError


def save_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state beside ``path`` and rename it: a run that is killed meanwhile leaves the last one."""
    beside = path.with_name(path.name + ".part")
    torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, beside)
    os.replace(beside, path)


def load_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore what :func:`save_state` wrote; returns the number of steps done, 0 if there is no file.

    Raises:
        TrainError: the file is damaged or of another model.
    """
    if not path.exists():
        return 0
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise TrainError(f"{path}: got a training state that doesn't fit ({reason}), expected this run's own") from None
