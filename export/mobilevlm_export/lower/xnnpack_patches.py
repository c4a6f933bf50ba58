"""XNNPACK's lowering without what this model doesn't need: most passes, second copies of weights, and weights once written."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager, XNNPACKRemoveCloneOpsTransform
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.backends.xnnpack._passes.remove_redundant_copy_pass import RemoveRedundantCopyPass
from executorch.backends.xnnpack.xnnpack_preprocess import XnnpackBackend
from executorch.exir.lowered_backend_module import LoweredBackendModule
from torch.export import ExportedProgram

# Of XNNPACK's seventeen rewrites of a delegate's graph, those that find something in this model's. The others look for
# batch norms, 1-d convolutions, max pools, static quantization, addmm … and each costs a whole retracing.
_NEEDED_PASSES = [XNNPACKRemoveCloneOpsTransform, ChannelsLastTaggedReshapePass, RemoveRedundantCopyPass]


@contextlib.contextmanager
def lean_xnnpack(begin_delegate: Callable[[], None]) -> Iterator[None]:
    """Within this context XNNPACK runs only the passes this model needs and reads the weights where they are.

    Each delegate begins with a call of ``begin_delegate``.
    """

    def manager(program: ExportedProgram, passes: Any = None) -> XNNPACKPassManager:
        begin_delegate()
        return XNNPACKPassManager(program, passes or _NEEDED_PASSES)

    with (
        mock.patch.object(xnnpack_preprocess, "XNNPACKPassManager", manager),
        mock.patch.object(XnnpackBackend, "copy_exported_program_for_preprocess", _copy_all_but_weights),
    ):
        yield


def _copy_all_but_weights(program: ExportedProgram, compile_specs: Any) -> ExportedProgram:
    """A copy whose graph may be changed. Its tensors are ``program``'s: all delegates are copied before the first is
    made, and XNNPACK only reads them.
    """
    weights = [*program.state_dict.values(), *program.constants.values()]
    return copy.deepcopy(program, {id(weight): weight for weight in weights})


def release_weights(delegates: Iterable[LoweredBackendModule]) -> None:
    """Let go of the weights of ``delegates``, once they are written: as they were and packed.

    torch remembers the shapes of calls with the delegate as a key, and XNNPACK the last node that it didn't take: each holds its
    graph for as long as the process lives.
    """
    for delegate in delegates:
        delegate.original_module.state_dict.clear()
        delegate.original_module.constants.clear()
        delegate.named_data_store_output.buffers.clear()
