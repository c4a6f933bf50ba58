"""Reading and writing what a program keeps between calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Cell:
    """One state's value. Values are never changed in place, so reading and writing copy nothing."""

    value: Tensor


def read_state(input: Cell) -> Tensor:
    """What ``input`` holds."""
    return input.value


def write_state(input: Cell, data: Tensor) -> None:
    """Let ``input`` hold ``data``."""
    input.value = data


STATE: dict[str, Callable[..., Any]] = {"read_state": read_state, "write_state": write_state}
