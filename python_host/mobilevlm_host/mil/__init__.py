"""Evaluates saved Core ML programs (``.mlpackage``, ML Program) in torch, on any desktop.

It reads the package, its weight file and its compressed weights itself and runs each operation as MIL defines it. That shows what
a saved program computes: its graph, weights, states and where it rounds to fp16. It can't show what Apple's kernels compute; for
that, run Core ML on a Mac.
"""

from __future__ import annotations

from mobilevlm_export.errors import MilError
from mobilevlm_host.mil.evaluator import Function, Program, State
from mobilevlm_host.mil.program import Package, read_package

__all__ = ["Function", "MilError", "Package", "Program", "State", "read_package"]
