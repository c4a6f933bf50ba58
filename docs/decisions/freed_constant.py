"""A constant inside a delegate that XNNPACK reads in place: right without XNNPACK's weights cache, freed memory with it.

    python docs/decisions/freed_constant.py

lowers ``x * scale`` twice, with ``scale`` inside the delegate and outside, and runs each program without the cache, as ExecuTorch's
package for Python does, and with it, as its packages for Android and Apple do; in a process of its own, which may crash.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from mobilevlm_host.engines.executorch import load_methods
from mobilevlm_host.engines.weights_cache import use_weights_cache

warnings.simplefilter("ignore")  # ExecuTorch's own


class Scaled(nn.Module):
    """Twice the input."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((64,), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        """Float [64] → [64]."""
        return x * self.scale


def lower(path: Path, *, is_inside: bool) -> None:
    """Write the program, with ``scale`` inside its delegate or as one of the delegate's inputs."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Partitioner(XnnpackPartitioner):  # type: ignore[misc]
        def partition(self, exported_program: torch.export.ExportedProgram) -> object:
            result = super().partition(exported_program)
            for node in exported_program.graph.nodes:
                if is_inside and node.name in exported_program.graph_signature.inputs_to_parameters:
                    node.meta["delegation_tag"] = next(iter(node.users)).meta["delegation_tag"]
            return result

    exported = torch.export.export(Scaled().eval(), (torch.ones(64),))
    edge = to_edge_transform_and_lower(exported, partitioner=[Partitioner()])
    path.write_bytes(edge.to_executorch().buffer)


def outcomes(path: Path) -> list[str]:
    """What the program gives of ones without the cache and with it: ``right``, ``wrong``, or the signal that ended the process."""
    done = subprocess.run(
        [sys.executable, __file__, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return [*done.stdout.split(), *([f"ended by signal {-done.returncode}"] if done.returncode else [])]


def _run(path: Path) -> None:
    for is_cached in (False, True):
        use_weights_cache(is_cached)
        forward = load_methods(path, ["forward"])["forward"]
        is_right = all(bool((forward(torch.ones(64))[0] == 2).all()) for _ in range(3))
        print("right" if is_right else "wrong", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _run(Path(sys.argv[1]))
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "scaled.pte")
        for where in ("inside", "outside"):
            lower(program, is_inside=where == "inside")
            plain, cached = outcomes(program)
            print(f"scale {where} the delegate: {plain} without the weights cache, {cached} with it")
