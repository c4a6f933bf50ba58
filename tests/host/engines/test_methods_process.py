"""The ARM program's protocol and its two operators, held against ExecuTorch's own on this machine."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mobilevlm_export.errors import EngineError
from mobilevlm_host.arm64 import toolchain
from mobilevlm_host.arm64.arm64_methods import process_on
from mobilevlm_host.engines.emulated_cpu import DEFAULT_CPU
from mobilevlm_host.engines.methods_process import MethodsProcess
from mobilevlm_host.engines.native_output import native_output_hidden

CONTEXT, HEADS, KV_HEADS, WIDTH = 12, 6, 2, 8
Attend = Callable[[Tensor, Tensor, Tensor, int], Tensor]


class CachedAttention(nn.Module):
    """The operators alone, with three query heads to a key/value head."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("k_cache", torch.zeros(1, CONTEXT, KV_HEADS, WIDTH))
        self.register_buffer("v_cache", torch.zeros(1, CONTEXT, KV_HEADS, WIDTH))

    def forward(self, q: Tensor, k: Tensor, v: Tensor, position: Tensor) -> Tensor:
        start = position.item()
        torch._check(start >= 0)
        torch._check(start + q.shape[1] <= CONTEXT)
        torch.ops.llama.update_cache(k, self.k_cache, start)
        torch.ops.llama.update_cache(v, self.v_cache, start)
        return torch.ops.llama.custom_sdpa(q, self.k_cache, self.v_cache, start, None, 0.0, True, 0.3)


@pytest.fixture(scope="module")
def attention_pte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    from executorch.exir import EdgeCompileConfig, to_edge

    tokens = torch.export.Dim("tokens", min=1, max=CONTEXT)
    inputs = (
        torch.zeros(1, 4, HEADS, WIDTH), torch.zeros(1, 4, KV_HEADS, WIDTH), torch.zeros(1, 4, KV_HEADS, WIDTH),
        torch.tensor([0]),
    )  # fmt: skip
    shapes = ({1: tokens}, {1: tokens}, {1: tokens}, None)
    program = torch.export.export(CachedAttention(), inputs, dynamic_shapes=shapes, strict=True)
    path = tmp_path_factory.mktemp("attention") / "attention.pte"
    path.write_bytes(
        to_edge(program, compile_config=EdgeCompileConfig(_check_ir_validity=False)).to_executorch().buffer
    )
    return path


@pytest.fixture
def process(run_methods: Path, attention_pte: Path) -> Iterator[MethodsProcess]:
    running = process_on(toolchain.emulator(), DEFAULT_CPU, run_methods, attention_pte)
    yield running
    running.close()


def inputs(tokens: int, position: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    made = torch.Generator().manual_seed(position)
    q, k, v = (torch.randn(1, tokens, heads, WIDTH, generator=made) for heads in (HEADS, KV_HEADS, KV_HEADS))
    return q, k, v, torch.tensor([position])


def test_attention_over_a_kv_cache_that_lasts_is_executorchs(process: MethodsProcess, attention_pte: Path) -> None:
    with native_output_hidden(), redirect_stderr(io.StringIO()):
        from executorch.runtime import Runtime

        method = Runtime.get().load_program(str(attention_pte)).load_method("forward")
    for tokens, position in ((5, 0), (1, 5), (3, 6), (1, 9), (2, 2), (CONTEXT, 0)):  # (2, 2) writes over what is there
        given = inputs(tokens, position)
        expected = method.execute(given)[0].clone()
        got = process.call("forward", *given)[0]
        assert got.shape == (1, tokens, HEADS, WIDTH)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_input_beyond_the_cache_is_an_error_and_the_process_survives(process: MethodsProcess) -> None:
    with pytest.raises(
        EngineError, match=r"on cortex-a76: got the error 'forward: .*', expected the result of forward"
    ):
        process.call("forward", *inputs(4, CONTEXT - 3))
    with pytest.raises(EngineError, match="no_such_method"):
        process.call("no_such_method", torch.zeros(2))
    assert process.call("forward", *inputs(2, 0))[0].shape == (1, 2, HEADS, WIDTH)


def test_the_error_of_a_process_that_dies_has_its_last_line(run_methods: Path, tmp_path: Path) -> None:
    running = process_on(toolchain.emulator(), "no-such-cpu", run_methods, tmp_path / "no.pte")
    with pytest.raises(EngineError, match=r"forward on no-such-cpu: got .*no-such-cpu.* and exit code 1, expected"):
        running.call("forward", torch.zeros(2))
    running.close()


def test_a_file_that_is_no_program_is_an_error(run_methods: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pte").write_bytes(b"not a program" * 9)
    running = process_on(toolchain.emulator(), DEFAULT_CPU, run_methods, tmp_path / "bad.pte")
    with pytest.raises(EngineError, match="got the error 'forward: "):
        running.call("forward", torch.zeros(2))
    running.close()
