"""This machine's limits: how fast it reads memory, and its rate of int8 multiplications, with the requested threads.

Measured in separate rounds, each in a fresh process, interleaved with the engines', so that other load slows all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mobilevlm_host.bench.measurement import print_figures, timed

_READ_BYTES = 512_000_000  # beyond every cache
_SIDE = 2048
_REPEATS = 5


def measure(threads: int) -> dict[str, float]:
    """``memory_bytes_s``: bytes read per second by a sum over an array. ``int8_ops_s``: multiplications and additions per second of a
    square matrix product, with the faster of oneDNN's and FBGEMM's kernels. Each is the best of several runs.
    """
    torch.set_num_threads(threads)
    array = torch.ones(_READ_BYTES // 8, dtype=torch.int64)
    read_s = _best(array.sum)
    left, right = (torch.randint(-128, 127, (_SIDE, _SIDE), dtype=torch.int8) for _ in range(2))
    product_s = min(_best(lambda: torch._int_mm(left, right)), _best(_fbgemm_product()))
    return {"memory_bytes_s": array.nbytes / read_s, "int8_ops_s": 2 * _SIDE**3 / product_s}


def _fbgemm_product() -> Callable[[], object]:
    """The product of a quantized input with packed weights, as in torch's quantized linears."""
    torch.backends.quantized.engine = "fbgemm"
    weight = torch.quantize_per_tensor(torch.randn(_SIDE, _SIDE), 0.01, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    activations = torch.quantize_per_tensor(torch.randn(_SIDE, _SIDE), 0.01, 64, torch.quint8)
    return lambda: torch.ops.quantized.linear(activations, packed, 0.01, 64)


def _best(work: Callable[[], object]) -> float:
    return min(timed(work)[0] for _ in range(_REPEATS))


if __name__ == "__main__":
    print_figures(lambda request: measure(request["threads"]))
