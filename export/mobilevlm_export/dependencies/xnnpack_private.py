"""XNNPACK's lowering without what this model doesn't need: most passes, second copies of weights, and weights once written.

Two internals of ExecuTorch's XNNPACK backend are replaced while a model is lowered. Without that, each delegate's graph is retraced
seventeen times, and every weight exists twice: docs/decisions has the figures.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.export import ExportedProgram

from mobilevlm_export.dependencies.private_api import PrivateApi, replaced

_XNNPACK = "executorch.backends.xnnpack"


def _api(module: str, name: str, reason: str) -> PrivateApi:
    return PrivateApi("executorch", "1.5.1", f"{_XNNPACK}.{module}", name, reason)


PASS_MANAGER = _api("xnnpack_preprocess", "XNNPACKPassManager", "runs the rewrites of a delegate's graph")
BACKEND = _api("xnnpack_preprocess", "XnnpackBackend", "copies each program before it is lowered")
# Of the seventeen rewrites, those that find something in this model's graphs. The others look for batch norms, 1-d convolutions,
# max pools, static quantization, addmm …
NEEDED_PASSES = (
    _api("_passes", "XNNPACKRemoveCloneOpsTransform", "removes copies"),
    _api("_passes.channels_last_tagged_reshape_pass", "ChannelsLastTaggedReshapePass", "orders convolutions' channels"),
    _api("_passes.remove_redundant_copy_pass", "RemoveRedundantCopyPass", "removes copies"),
)


@contextmanager
def lean_xnnpack(begin_delegate: Callable[[], None]) -> Iterator[None]:
    """Within this context XNNPACK runs only the passes this model needs and reads the weights where they are.

    Each delegate begins with a call of ``begin_delegate``.

    Raises:
        DependencyError: this ExecuTorch has other internals.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess

    pass_manager, needed = PASS_MANAGER.load(), [each.load() for each in NEEDED_PASSES]

    def manager(program: ExportedProgram, passes: Any = None) -> Any:
        begin_delegate()
        return pass_manager(program, passes or needed)

    with (
        replaced(xnnpack_preprocess, PASS_MANAGER.name, manager),
        replaced(BACKEND.load(), "copy_exported_program_for_preprocess", staticmethod(_copy_all_but_weights)),
    ):
        yield


def _copy_all_but_weights(program: ExportedProgram, compile_specs: Any) -> ExportedProgram:
    """A copy whose graph may be changed. Its tensors are ``program``'s: all delegates are copied before the first is
    made, and XNNPACK only reads them.
    """
    weights = [*program.state_dict.values(), *program.constants.values()]
    return copy.deepcopy(program, {id(weight): weight for weight in weights})


def release_weights(delegates: Iterable[Any]) -> None:
    """Release the weights of ``delegates``, lowered modules, once they are written: as they were and packed.

    torch remembers the shapes of calls with the delegate as a key, and XNNPACK the last node that it didn't take: each holds its
    graph for as long as the process lives.
    """
    for delegate in delegates:
        delegate.original_module.state_dict.clear()
        delegate.original_module.constants.clear()
        delegate.named_data_store_output.buffers.clear()
