"""Partition the operators that XNNPACK supports into as few delegates as possible: one between two attentions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.backend.canonical_partitioners.config_partitioner import is_constant_data
from executorch.exir.backend.partitioner import DelegationSpec, PartitionResult
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower.graph_checks import PRODUCTS, module_path, operator_name


class LevelPartitioner(XnnpackPartitioner):  # type: ignore[misc]
    """Delegates every operator that XNNPACK supports, grouped by how many undelegated operators must run before it.

    A node's level is the greatest number of crossings from a delegate to an undelegated operator on any path to it.
    Nodes of one level never wait for each other through an undelegated operator, so a level is one delegate. (XNNPACK's
    own grouping grows delegates along the graph, splits levels, and takes longer.)

    Only the weights and biases that XNNPACK packs go inside. Every other constant is an input of the delegate: an engine
    with XNNPACK's weights cache, as on Android and Apple devices, frees constants inside once the delegate is compiled.
    """

    def ops_to_not_decompose(
        self, ep: ExportedProgram
    ) -> tuple[list[torch._ops.OpOverload], Callable[[Node], bool] | None]:
        """Keep every linear whole. A linear left outside is an error anyway, so no filter is needed."""
        kept, _ = super().ops_to_not_decompose(ep)
        return kept, None

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        """Tag each node of ``exported_program`` with its delegate.

        Raises:
            LoweringError: XNNPACK doesn't support a linear, a convolution or a matrix product.
        """
        graph = exported_program.graph
        groups = self.get_matched_nodes_from_configs(exported_program)
        matched = {node for group in groups for node in group}
        delegated = {node for node in matched if node.op == "call_function"}
        _require_products(exported_program, delegated)
        constant = _constant_nodes(exported_program)
        level: dict[Node, int] = {}
        for node in graph.nodes:
            sources = [source for source in node.all_input_nodes if source not in constant]
            level[node] = max((level[s] + (s in delegated and node not in delegated) for s in sources), default=0)
        for node in reversed(list(graph.nodes)):
            if node in constant:  # such as a weight's dequantization: same level as its user
                level[node] = min((level[user] for user in node.users), default=0)
        tags: dict[str, DelegationSpec] = {}
        for node in graph.nodes:
            if node in delegated or (node in matched and node in constant):
                node.meta["delegation_tag"] = f"level{level[node]}"
                tags[f"level{level[node]}"] = self.delegation_spec
        return PartitionResult(tagged_exported_program=exported_program, partition_tags=tags)


def _require_products(program: ExportedProgram, delegated: set[Node]) -> None:
    for node in program.graph.nodes:
        if node.op == "call_function" and node not in delegated and operator_name(node) in PRODUCTS:
            raise LoweringError(
                f"{operator_name(node)} of {module_path(node)}: not supported by XNNPACK, expected it in the delegate"
            )


def _constant_nodes(program: ExportedProgram) -> set[Node]:
    """The nodes that don't depend on the method's inputs: parameters and values computed from them alone."""
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    buffers = program.graph_signature.inputs_to_buffers
    constant: set[Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if is_constant_data(program, node) and buffers.get(node.name) not in mutated:
                constant.add(node)
        elif node.op == "call_function" and node.all_input_nodes and constant.issuperset(node.all_input_nodes):
            constant.add(node)
    return constant
