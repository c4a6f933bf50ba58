"""Describe a lowered method and check that no operator silently fell back to the portable kernels.

Works on ExecuTorch's edge programs after partitioning: operators are either inside a delegate (whose own graph is
still available) or outside, run one by one by the portable kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from executorch.exir.lowered_backend_module import get_lowered_backend_modules
from torch.export import ExportedProgram
from torch.fx import Node

from mobilevlm_export.errors import LoweringError

PRODUCTS = ("linear", "addmm", "mm", "bmm", "matmul", "convolution", "conv2d")
# The arguments that XNNPACK packs when it compiles a delegate: weights and biases. It reads all other constants in place.
_PACKED = {"linear": (1, 2), "convolution": (1, 2), "addmm": (2, 0), "mm": (1,)}
_PLUMBING = {"getitem", "executorch_call_delegate", "alloc", "sym_size", "ge", "le", "add", "_assert_scalar"}


@dataclass(frozen=True)
class MethodInfo:
    """A lowered method: its delegates, the operators inside and outside them (operator → count), and their size."""

    delegates: int
    delegated: Mapping[str, int]
    quantized_linears: int
    outside: Mapping[str, int]
    delegate_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for the bundle's manifest."""
        return {**vars(self), "delegated": dict(self.delegated), "outside": dict(self.outside)}


@dataclass(frozen=True)
class ExpectedMethod:
    """What a method must contain: operators allowed outside (None: any count), counts inside, linears, and bytes."""

    outside: Mapping[str, int | None]
    delegated: Mapping[str, int]
    quantized_linears: int
    max_delegate_bytes: int


def describe_method(program: ExportedProgram) -> MethodInfo:
    """Count the operators inside and outside the delegates of ``program`` (an edge program after partitioning)."""
    modules = get_lowered_backend_modules(program.graph_module)
    delegated: Counter[str] = Counter()
    quantized = size = 0
    for module in modules:
        for node in _calls(module.original_module):
            delegated[operator_name(node)] += 1
            quantized += _is_quantized_linear(node)
        size += len(module.processed_bytes)
        if module.named_data_store_output is not None:
            size += sum(len(buffer) for buffer in module.named_data_store_output.buffers)
    outside = Counter(operator_name(node) for node in _outside_delegates(program))
    return MethodInfo(len(modules), dict(sorted(delegated.items())), quantized, dict(sorted(outside.items())), size)


def check_method(method: str, program: ExportedProgram, expected: ExpectedMethod) -> MethodInfo:
    """Describe ``program`` and require that it matches ``expected``.

    Raises:
        LoweringError: an operator is outside the delegates that must be inside (named with its module), a delegate
            contains a constant that XNNPACK doesn't pack (named), or a count or size isn't as expected.
    """
    for node in _outside_delegates(program):
        if operator_name(node) not in expected.outside:
            raise LoweringError(
                f"{method}: {operator_name(node)} of {module_path(node)} was left outside the delegate, "
                "expected it inside"
            )
    for module in get_lowered_backend_modules(program.graph_module):
        require_packed(method, module.original_module)
    info = describe_method(program)
    for name, count in expected.outside.items():
        if count is not None and info.outside.get(name, 0) != count:
            raise LoweringError(f"{method}: got {info.outside.get(name, 0)} of {name}, expected {count}")
    for name, count in expected.delegated.items():
        if info.delegated.get(name, 0) != count:
            raise LoweringError(f"{method}: got {info.delegated.get(name, 0)} delegated {name}, expected {count}")
    if info.quantized_linears != expected.quantized_linears:
        raise LoweringError(
            f"{method}: got {info.quantized_linears} quantized linears, expected {expected.quantized_linears}"
        )
    if info.delegate_bytes > expected.max_delegate_bytes:
        raise LoweringError(
            f"{method}: got {info.delegate_bytes} bytes of delegates, expected at most "
            f"{expected.max_delegate_bytes}: weights are larger than the recipe makes them"
        )
    return info


def require_packed(method: str, delegate: ExportedProgram) -> None:
    """Require that XNNPACK packs every constant of ``delegate``, one of ``method``'s.

    Engines with XNNPACK's weights cache free a delegate's constants once it is compiled. ExecuTorch's packages for Android
    and Apple have this cache. The Python package doesn't, and there the program would give correct answers.

    Raises:
        LoweringError: a constant is read in place; the message names it and the module that reads it.
    """
    signature = delegate.graph_signature
    constants = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    for node in delegate.graph.nodes:
        if node.op == "placeholder" and node.name in constants:
            for reader in _readers_in_place(node):
                raise LoweringError(
                    f"{method}: the constant {constants[node.name]} is inside a delegate where {operator_name(reader)} of "
                    f"{module_path(reader)} reads it in place, expected it outside: engines free what isn't packed"
                )


def operator_name(node: Node) -> str:
    """The operator that ``node`` calls, without namespace and overload: ``linear``, ``update_cache``, …"""
    target: Any = node.target
    if getattr(target, "__name__", "").startswith("auto_functionalized"):
        target = node.args[0]
    name = str(getattr(target, "__name__", target))
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 else parts[0]


def module_path(node: Node) -> str:
    """The dotted path, in the exported method, of the module that ``node`` came from."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return "the method itself"
    return str(list(stack.values())[-1][0]) or "the method itself"


def _calls(program: ExportedProgram) -> Iterator[Node]:
    return (node for node in program.graph.nodes if node.op == "call_function" and operator_name(node) != "getitem")


def _outside_delegates(program: ExportedProgram) -> Iterator[Node]:
    return (node for node in _calls(program) if operator_name(node) not in _PLUMBING)


def _readers_in_place(constant: Node) -> Iterator[Node]:
    """The nodes that read ``constant``, or its dequantized values, other than as a weight or bias to pack."""
    for user in constant.users:
        if "dequantize" in operator_name(user):
            yield from _readers_in_place(user)
            continue
        # Empty if the constant is inside a list, such as the argument of cat.
        at = [index for index, argument in enumerate(user.args) if argument is constant]
        if not at or not set(at).issubset(_PACKED.get(operator_name(user), ())):
            yield user


def _is_quantized_linear(node: Node) -> bool:
    if operator_name(node) != "linear":
        return False
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op == "call_function" and "dequantize" in operator_name(weight)
