"""Round a linear's weights to int4 groups so that its outputs, not its weights, change least: GPTQ (Frantar et al., 2022).

Columns are rounded one by one, those with the strongest inputs first, and the error of each is compensated by the columns not
yet rounded. torchao's GPTQ needs CUDA and packs weights for other kernels than the phone's.

Letters: N outputs, K inputs, G group size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mobilevlm_export.threads import one_thread

_DAMPING = 0.01  # of the mean diagonal: inputs that never vary would make the Hessian singular
_BLOCK = 128  # columns whose errors are collected before the remaining ones are corrected
_LOW, _HIGH = -8, 7


def round_to_int4(weight: Tensor, scales: Tensor, hessian: Tensor) -> Tensor:
    """Integers int8 [N, K] of -8 … 7 for ``weight`` float32 [N, K] in groups with ``scales`` [N, K / G].

    ``hessian`` float32 [K, K] is the sum of the inputs' outer products.
    """
    columns = weight.shape[1]
    order = hessian.diagonal().argsort(descending=True)
    scales = scales.float().repeat_interleave(columns // scales.shape[1], dim=1).T[order]  # [K, N]
    remaining = weight.T[order]  # [K, N]: still to be rounded, corrected along the way
    correction = _correction(hessian[order][:, order])
    integers = torch.empty(remaining.shape, dtype=torch.int8)
    for begin in range(0, columns, _BLOCK):
        end = min(begin + _BLOCK, columns)
        block = slice(begin, end)
        with one_thread():
            rounded, errors = _round_block(remaining[block], scales[block], correction[block, block])
        integers[order[block]] = rounded
        remaining[end:] -= correction[block, end:].T @ errors
    return integers.T.contiguous()


def _round_block(weight: Tensor, scales: Tensor, correction: Tensor) -> tuple[Tensor, Tensor]:
    """Integers int8 [B, N] of columns ``weight`` [B, N], one a row, and their errors [B, N], for which later columns compensate."""
    integers, errors = torch.empty(weight.shape, dtype=torch.int8), torch.empty(weight.shape)
    for at in range(len(weight)):
        rounded = (weight[at] / scales[at]).round_().clamp_(_LOW, _HIGH)
        integers[at] = rounded.to(torch.int8)
        errors[at] = (weight[at] - rounded * scales[at]) / correction[at, at]
        weight[at:] -= torch.outer(correction[at, at:], errors[at])
    return integers, errors


def _correction(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped inverse of ``hessian`` [K, K]; inputs that are always zero affect no others."""
    damped, diagonal = hessian.clone(), hessian.diagonal()
    damped.diagonal().add_(_DAMPING * diagonal.mean())
    damped.diagonal()[diagonal == 0] += 1
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor
