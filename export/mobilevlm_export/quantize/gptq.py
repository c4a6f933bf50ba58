"""Round a linear's weights to int4 groups so that its outputs, not its weights, change least: GPTQ (Frantar et al., 2022).

Columns are rounded one by one, those with the strongest inputs first, and the error of each is compensated by the columns not
yet rounded. torchao's GPTQ needs CUDA and packs weights for other kernels than the phone's.

Letters: N outputs, K inputs, G group size.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DAMPING = 0.01  # of the mean diagonal: inputs that never vary would make the Hessian singular
_BLOCK = 128  # columns whose errors are collected before the remaining ones are corrected
_LOW, _HIGH = -8, 7


def round_to_int4(weight: Tensor, scales: Tensor, hessian: Tensor) -> Tensor:
    """Integers int8 [N, K] of -8 … 7 for ``weight`` float32 [N, K] in groups with ``scales`` [N, K / G].

    ``hessian`` float32 [K, K] is the sum of the inputs' outer products.
    """
    scales = scales.float().repeat_interleave(weight.shape[1] // scales.shape[1], dim=1)  # [N, K]
    order = hessian.diagonal().argsort(descending=True)
    remaining, scales = weight[:, order], scales[:, order]  # still to be rounded, corrected along the way
    correction = _correction(hessian[order][:, order])
    columns = weight.shape[1]
    integers = torch.empty(weight.shape, dtype=torch.int8)
    for begin in range(0, columns, _BLOCK):
        end = min(begin + _BLOCK, columns)
        errors = torch.empty(len(weight), end - begin)
        for column in range(begin, end):
            rounded = (remaining[:, column] / scales[:, column]).round_().clamp_(_LOW, _HIGH)
            integers[:, order[column]] = rounded.to(torch.int8)
            error = (remaining[:, column] - rounded * scales[:, column]) / correction[column, column]
            remaining[:, column:end] -= torch.outer(error, correction[column, column:end])
            errors[:, column - begin] = error
        remaining[:, end:] -= errors @ correction[begin:end, end:]
    return integers


def _correction(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped inverse of ``hessian`` [K, K]; inputs that are always zero affect no others."""
    damped, diagonal = hessian.clone(), hessian.diagonal()
    damped.diagonal().add_(_DAMPING * diagonal.mean())
    damped.diagonal()[diagonal == 0] += 1
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
