"""Passes over exported graphs that make the artifact smaller or lowering cheaper without changing results."""

from __future__ import annotations

from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node

_ACTIVATION_OPERATORS = ("choose_qparams_affine", "quantize_affine", "dequantize_affine", "getitem")


def share_activation_quantization(program: ExportedProgram) -> None:
    """Quantize an activation once where several linears read it (q, k and v; gate and up), in place.

    Each of torchao's linears has its own chain of choose, quantize and dequantize. Such chains are half of a decoder's
    nodes, and the cost of lowering grows with the number of nodes.
    """
    graph = program.graph
    first: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not any(name in str(node.target) for name in _ACTIVATION_OPERATORS):
            continue
        key = (node.target, repr(node.args), repr(sorted(node.kwargs.items())))
        kept = first.setdefault(key, node)
        if kept is not node:
            node.replace_all_uses_with(kept)
            graph.erase_node(node)
    program.graph_module.recompile()
