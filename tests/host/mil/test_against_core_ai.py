"""The evaluator's operators, those of the kit's programs, against Apple's own runtime for Core AI: an oracle that isn't torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import coreai_torch
import numpy as np
import pytest
import torch
from coreai.runtime import AIModelAssetMetadata
from torch import Tensor, nn
from torch.nn import functional

from mobilevlm_host.engines.coreai import LoadedProgram
from mobilevlm_host.mil import Program

from .saved import build, outputs_of, save
from .test_ops import CASES

# Operators that Core AI has too, where the cases spell them out.
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "avg_pool": lambda x: functional.avg_pool2d(x, 2),
    "gelu": functional.gelu,
    "reduce_mean": lambda x: x.mean(-1, keepdim=True),
    "rsqrt": lambda x: torch.rsqrt(x + 0.5),
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "softmax": lambda x: x.softmax(1),
}
SPELLED = ("add", "mul", "sub", "concat", "conv", "linear", "layer_norm", "matmul", "reshape", "transpose")
NAMES = (*FUNCTIONS, *SPELLED, "scaled_dot_product_attention, added")


class _Cases(nn.Module):
    """All cases in one program, so that it is converted once."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        inputs = iter(given)
        found = []
        for name in NAMES:
            arrays, _, spelled = CASES[name]
            found.append(FUNCTIONS.get(name, spelled)(*(next(inputs) for _ in arrays)))
        return tuple(found)


@pytest.fixture(scope="module")
def by_apple(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What Apple's runtime computes, by case."""
    given = tuple(torch.tensor(array) for name in NAMES for array in CASES[name][0])
    exported = torch.export.export(_Cases(), given).run_decompositions(coreai_torch.get_decomp_table())
    converter = coreai_torch.TorchConverter(mode=coreai_torch.TorchConverter.Mode.RELEASE)
    inputs, outputs = [f"i{at}" for at in range(len(given))], [f"o{at}" for at in range(len(NAMES))]
    converter.add_exported_program(exported, input_names=inputs, output_names=outputs)
    asset = tmp_path_factory.mktemp("cases") / "cases.aimodel"
    converter.to_coreai().save_asset(asset, metadata=AIModelAssetMetadata())
    found = LoadedProgram(asset).run(dict(zip(inputs, given, strict=True)))
    return {name: found[output].numpy() for name, output in zip(NAMES, outputs, strict=True)}


@pytest.mark.export
@pytest.mark.parametrize("name", NAMES)
def test_apples_runtime_computes_the_same(name: str, by_apple: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs, body, _ = CASES[name]
    [evaluated] = outputs_of(Program.open(save(tmp_path / "op.mlpackage", build(inputs, body))), inputs)
    np.testing.assert_allclose(evaluated, by_apple[name], atol=2e-6, rtol=2e-5)
