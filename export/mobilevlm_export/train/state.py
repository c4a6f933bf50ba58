"""What a training run needs to go on where it stopped: weights, optimizer and step, in one file.

The file is the same whether the parameters are whole or sharded over processes: everything in it is gathered, under the
parameters' own names. It is written by the first process and read back without unpickling code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from mobilevlm_export.errors import TrainError
from mobilevlm_export.whole_file import whole_file

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def save_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write the state beside ``path`` and rename it: a run that is killed meanwhile leaves the last one."""
    model_state, optimizer_state = get_state_dict(module, optimizer, options=_WHOLE)
    if not dist.is_initialized() or dist.get_rank() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as beside:
            torch.save({"model": model_state, "optimizer": optimizer_state, "step": step}, beside)
    if dist.is_initialized():
        dist.barrier()


def load_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore what :func:`save_state` wrote; returns the number of steps done, 0 if there is no file.

    Raises:
        TrainError: the file is damaged or of another model.
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
