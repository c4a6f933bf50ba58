"""Find weights of a finished program that XNNPACK's weights cache, which phones use, takes for one another.

The cache finds a packed weight by the SHA-256 of its integers and of its bias. What else is packed with them isn't in that name:
of two weights with the same integers and other scales, as of a matrix and its double, the second one gets the scales of the first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import LoweringError
from mobilevlm_export.lower.program_file import ProgramFile
from mobilevlm_export.lower.unpacked_constants import PACKING, XNNPACK, delegate_graph


def require_distinct_weights(program: Path) -> None:
    """Require that the weights cache can tell all weights of the ``.pte`` ``program`` apart.

    Raises:
        LoweringError: it can't (the methods of the first ones are named), or the program can't be read.
    """
    uses: dict[str, dict[str, str]] = defaultdict(dict)
    try:
        for delegate in ProgramFile(program).delegates():
            if delegate.backend == XNNPACK:
                for name, packed in _weights(delegate_graph(delegate.data, program)):
                    uses[name].setdefault(packed, delegate.method)
    except (LookupError, TypeError) as error:
        raise LoweringError(f"{program}: got a delegate without {error}, expected a complete program") from None
    for methods in uses.values():
        if len(methods) > 1:
            where = " and ".join(dict.fromkeys(methods.values()))
            raise LoweringError(
                f"{program}: {where}: got weights with the same integers and other scales, expected weights that the engine's cache "
                "can tell apart; quantize one of them in another way"
            )


def _weights(graph: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The cache's name of each weight of ``graph``, and everything else that is packed with it."""
    values = {}
    for value in graph["xvalues"]:
        tensor = value["xvalue_union"].get("tensor_value", value["xvalue_union"])
        values[tensor["id_out"]] = (tensor, value["xvalue_union"].get("quant_params", {}))
    constants = [constant["named_key"] for constant in graph["constant_data"]]
    for node in graph["xnodes"]:
        if node["xnode_union_type"] not in PACKING:
            continue
        tensor, scales = values[node["xnode_union"]["filter_id"]]
        if not tensor["constant_buffer_idx"]:
            continue
        if "scale_buffer_idx" in scales:
            index = scales["scale_buffer_idx"]
            scales = {**scales, "scale_buffer_idx": constants[index] if index else ""}
        bias = values.get(node["xnode_union"]["bias_id"])
        name = constants[tensor["constant_buffer_idx"]]
        name += constants[bias[0]["constant_buffer_idx"]] if bias and bias[0]["constant_buffer_idx"] else ""
        yield name, json.dumps([node["xnode_union_type"], tensor["datatype"], tensor["dims"], scales], sort_keys=True)
