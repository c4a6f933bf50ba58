"""GPTQ: a linear's outputs are closer than with plain rounding."""

from __future__ import annotations

import torch

from mobilevlm_export.quantize.gptq import round_to_int4


def test_errors_are_compensated_for_correlated_inputs() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(2000, 24) @ torch.randn(24, 192)  # far fewer directions than columns, over more than one block
    weight = torch.randn(16, 192)
    scales = (weight.unflatten(1, (-1, 32)).abs().amax(-1) / 8).bfloat16()
    wide = scales.float().repeat_interleave(32, dim=1)
    integers = round_to_int4(weight, scales, inputs.T @ inputs)
    assert integers.dtype == torch.int8
    assert (int(integers.min()) >= -8, int(integers.max()) <= 7) == (True, True)
    nearest = (weight / wide).round().clamp(-8, 7)
    errors = [float((inputs @ (weight - each * wide).T).square().mean()) for each in (nearest, integers)]
    assert errors[1] < 0.2 * errors[0]


def test_uncorrelated_inputs_need_no_compensation() -> None:
    weight, scales = torch.randn(4, 64), torch.full((4, 2), 0.5).bfloat16()
    hessian = torch.diag(torch.cat([torch.zeros(3), torch.rand(61) + 0.1]))  # three inputs are always zero
    assert torch.equal(round_to_int4(weight, scales, hessian), (weight / 0.5).round().clamp(-8, 7).to(torch.int8))
