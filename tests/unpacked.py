"""Small modules with constants that nothing packs, and a partitioner that puts them inside a delegate anyway."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ExecuTorch's own, while it is imported
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
    from executorch.exir.backend.partitioner import PartitionResult
    from executorch.exir.program import EdgeProgramManager

    from mobilevlm_export.lower.partitioner import LevelPartitioner

WIDTH = 32


class Scaled(nn.Module):
    """``scale`` is read in place; ``row`` is a linear's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.scale, self.row = nn.Parameter(torch.rand(WIDTH)), nn.Parameter(torch.rand(1, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """[1, W] → [1, 1]."""
        return functional.linear(self.linear(x) * self.scale, self.row)


class Shared(Scaled):
    """``row`` is a linear's weight and read in place."""

    def forward(self, x: Tensor) -> Tensor:
        """[1, W] → [1, W]."""
        return functional.linear(self.linear(x), self.row) + self.row


class Greedy(LevelPartitioner):
    """Tags every constant that a delegate reads, as custom partitioners often do."""

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        """See LevelPartitioner."""
        result = super().partition(exported_program)
        for node in exported_program.graph.nodes:
            if is_constant_data(exported_program, node):
                node.meta["delegation_tag"] = next(iter(node.users)).meta["delegation_tag"]
        return result


def lower_module(module: nn.Module, partitioner: LevelPartitioner) -> EdgeProgramManager:
    """Lower ``module``, of one input [1, W], with ``partitioner``."""
    config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (torch.zeros(1, WIDTH),))
        return to_edge_transform_and_lower(program, partitioner=[partitioner], compile_config=config)


def write_unpacked(path: Path) -> None:
    """Write a program with one constant that nothing packs inside its delegate: ``scale`` of :class:`Scaled`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.write_bytes(lower_module(Scaled(), Greedy()).to_executorch().buffer)
