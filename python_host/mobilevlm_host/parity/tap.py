"""A copy of a bundle's program that also returns the values between its layers.

A delegate doesn't expose its intermediate values. ExecuTorch's own taps are set while a model is lowered, so they would measure a
different program from the one that ships; its event tracer sees only the inputs and outputs of delegates, and ends the process
when its buffer is full. So the shipped program is read with ExecuTorch's own readers, the values between its layers are declared
outputs of the delegate and of the method, in memory of their own, and the result is written to a new file. Operators, weights
and kernels stay the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from executorch.exir.schema import AllocationDetails, DelegateCall, EValue
from executorch.exir.schema import Tensor as Planned

from mobilevlm_export.dependencies.executorch_private import (
    DELEGATE_HEADER,
    DELEGATE_SCHEMA,
    DESERIALIZE_PROGRAM,
    FLATC_COMPILE,
    FLATC_DECOMPILE,
    SERIALIZE_PROGRAM,
)
from mobilevlm_export.errors import ParityError
from mobilevlm_export.files.scratch import ScratchFolder

_EXTERNAL_OUTPUT = 2  # XNNPACK's flag of a value that leaves the delegate
_ALIGNMENT = 16  # of weights, and of tensors in memory, in bytes


def write_tapped(program: Path, tapped: Path, vision_layers: int, decoder_layers: int) -> None:
    """Write ``program`` (model.pte) to ``tapped`` with more outputs: its ``vision_encoder`` gives last what its first layer is given and
    what each layer gives, ``vision_layers`` + 1 of float [1, 1 + P, vision D]; its ``text_decoder`` what each of ``decoder_layers``
    gives, [1, T, D].

    Raises:
        ParityError: the program isn't built as this kit builds it.
    """
    opened = DESERIALIZE_PROGRAM.load()(program.read_bytes())
    found = {
        "vision_encoder": _tap_vision_encoder(opened, _plan(opened, "vision_encoder")) - 1,
        "text_decoder": _tap_text_decoder(_plan(opened, "text_decoder")),
    }
    for (method, got), expected in zip(found.items(), (vision_layers, decoder_layers), strict=True):
        if got != expected:
            raise ParityError(f"{program}: layers: got {got} that can be told apart in {method}, expected {expected}")
    for entry in opened.named_data.pte_data.values() if opened.named_data else ():
        entry.alignment = _ALIGNMENT  # which the reader doesn't keep
    with tapped.open("wb") as file:
        SERIALIZE_PROGRAM.load()(opened, extract_delegate_segments=True).write_to_file(file)


def _plan(opened: Any, method: str) -> Any:
    return next(plan for plan in opened.program.execution_plan if plan.name == method)


def _tap_text_decoder(plan: Any) -> int:
    """Between two layers is one value as large as the method's input, passed from one delegate to the next."""
    given = plan.values[plan.inputs[0]].val.sizes
    states: dict[int, None] = {}
    for argument in (argument for call in _delegate_calls(plan) for argument in call.args):
        value = plan.values[argument].val
        if isinstance(value, Planned) and value.sizes == given and argument not in plan.inputs:
            states[argument] = None
    for state in states:
        _own_memory(plan, plan.values[state].val)
        plan.outputs.append(state)
    return len(states)


def _tap_vision_encoder(opened: Any, plan: Any) -> int:
    """The whole tower is one delegate, whose graph is edited."""
    (call,) = _delegate_calls(plan)
    payload = opened.program.backend_delegate_data[plan.delegates[0].processed.index]
    graph, constants = _read_graph(bytes(payload.data))
    states = list(_vision_states(graph))
    for state in states:
        tensor = next(tensor for tensor in map(_tensor, graph["xvalues"]) if tensor["id_out"] == state)
        tensor |= {"external_id": graph["num_externs"], "flags": tensor["flags"] | _EXTERNAL_OUTPUT}
        graph["num_externs"] += 1
        graph["output_ids"].append(state)
        like = plan.values[plan.outputs[0]].val
        sizes = [int(size) for size in tensor["dims"]]
        value = Planned(
            like.scalar_type, 0, sizes, [0, 1, 2], False, like.layout, 0, like.allocation_info, like.shape_dynamism
        )
        _own_memory(plan, value)
        call.args.append(len(plan.values))
        plan.outputs.append(len(plan.values))
        plan.values.append(EValue(value))
    payload.data = _write_graph(graph, constants)
    return len(states)


def _vision_states(graph: Any) -> Iterator[int]:
    """Ids of the values between layers: each layer adds twice to what it is given, first what attention's last linear gives, then the
    MLP's. (A linear of width one is a mean of a layer norm.)
    """
    width = {tensor["id_out"]: tensor["dims"][-1] for tensor in map(_tensor, graph["xvalues"])}
    linears = {node["output_id"] for node in _nodes(graph, "XNNFullyConnected") if width[node["output_id"]] > 1}
    sums = [node for node in _nodes(graph, "XNNAdd") if node["input2_id"] in linears]
    for attention, mlp in zip(sums[::2], sums[1::2], strict=False):
        if attention is sums[0]:
            yield attention["input1_id"]
        yield mlp["output_id"]


def _delegate_calls(plan: Any) -> list[Any]:
    instructions = (each.instr_args for chain in plan.chains for each in chain.instructions)
    return [each for each in instructions if isinstance(each, DelegateCall)]


def _own_memory(plan: Any, value: Any) -> None:
    """Move ``value`` behind all that is planned, so that nothing is written over it."""
    arena, size = value.allocation_info.memory_id, 4
    for length in value.sizes:
        size *= length
    offset = -(-plan.non_const_buffer_sizes[arena] // _ALIGNMENT) * _ALIGNMENT
    plan.non_const_buffer_sizes[arena] = offset + size
    value.allocation_info = AllocationDetails(arena, offset & 0xFFFFFFFF, offset >> 32)


def _nodes(graph: Any, kind: str) -> list[Any]:
    return [node["xnode_union"] for node in graph["xnodes"] if node["xnode_union_type"] == kind]


def _tensor(value: Any) -> Any:
    union = value["xvalue_union"]
    return union.get("tensor_value", union)  # a quantized value wraps its tensor


def _read_graph(payload: bytes) -> tuple[Any, bytes]:
    """A delegate's graph as JSON, and the constants that follow it."""
    kind = DELEGATE_HEADER.load()
    header = kind.from_bytes(payload[: kind.EXPECTED_LENGTH])
    with ScratchFolder() as folder:
        schema, binary = _schema(folder), folder / "graph.bin"
        binary.write_bytes(payload[header.flatbuffer_offset :][: header.flatbuffer_size])
        FLATC_DECOMPILE.load()(str(folder), str(schema), str(binary), ["--raw-binary"])
        graph = json.loads(binary.with_suffix(".json").read_bytes())
    return graph, payload[header.constant_data_offset :][: header.constant_data_size]


def _write_graph(graph: Any, constants: bytes) -> bytes:
    with ScratchFolder() as folder:
        schema, text = _schema(folder), folder / "graph.json"
        text.write_text(json.dumps(graph))
        FLATC_COMPILE.load()(str(folder), str(schema), str(text))
        binary = text.with_suffix(".bin").read_bytes()
    kind = DELEGATE_HEADER.load()
    begin = -(-kind.EXPECTED_LENGTH // _ALIGNMENT) * _ALIGNMENT
    after = begin + -(-len(binary) // _ALIGNMENT) * _ALIGNMENT
    header: bytes = kind(begin, len(binary), after, len(constants)).to_bytes()
    return header.ljust(begin, b"\0") + binary.ljust(after - begin, b"\0") + constants


def _schema(folder: Path) -> Path:
    copy = folder / "schema.fbs"
    copy.write_bytes(DELEGATE_SCHEMA.find().read_bytes())
    return copy
