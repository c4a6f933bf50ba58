"""Evaluates saved Core ML programs (``.mlpackage``, ML Program) in torch, on any desktop.

It reads the package, its weight file and its compressed weights by itself and runs each operation by MIL's definition. That shows
what a saved program computes: its graph, weights, states and where it rounds to fp16. It can't show what Apple's kernels
make of it; on a Mac, Core ML itself can.
"""

from __future__ import annotations

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.evaluator import Function, Program, State
from mobilevlm_host.mil.program import Package, read_package

__all__ = ["Function", "MilError", "Package", "Program", "State", "read_package"]
