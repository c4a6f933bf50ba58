"""MIL's operations as functions of their parameters, under the names that MIL gives both.

``MOVES`` only carry values elsewhere and take them as they are; ``COMPUTES`` are given floats in float32 and their result is
rounded to the type that the program declares.
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
