"""MIL's operations as functions; functions and parameters have MIL's names.

``MOVES`` only move values and receive them unchanged; ``COMPUTES`` receive floats as float32, and their result is rounded to the
type that the program declares.
"""

from __future__ import annotations

from mobilevlm_host.mil.ops.elementwise import ELEMENTWISE
from mobilevlm_host.mil.ops.neural import NEURAL
from mobilevlm_host.mil.ops.reduction import REDUCTION
from mobilevlm_host.mil.ops.shape import SHAPE
from mobilevlm_host.mil.ops.state import STATE

MOVES = SHAPE | STATE
COMPUTES = ELEMENTWISE | REDUCTION | NEURAL
OPS = MOVES | COMPUTES
