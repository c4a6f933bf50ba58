"""The machine's limits are computed from the fastest of several runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from mobilevlm_host.bench.peer import machine_limits as limits

# torch's own deprecation warning.
pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor.*deprecated:UserWarning")

SIDE, READ_BYTES, REPEATS = 64, 8000, 5


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "_SIDE", SIDE)
    monkeypatch.setattr(limits, "_READ_BYTES", READ_BYTES)
    threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    yield
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = engine


@pytest.mark.parametrize(
    ("products", "best"),
    [([0.5, 0.25, 0.5, 0.5, 0.5, *[0.75] * REPEATS], 0.25), ([*[0.75] * REPEATS, 0.5, 0.125, 0.5, 0.5, 0.5], 0.125)],
    ids=["oneDNN", "FBGEMM"],
)
def test_the_shortest_try_counts(monkeypatch: pytest.MonkeyPatch, products: list[float], best: float) -> None:
    seconds = iter([0.5, 0.5, 0.125, 0.25, 0.5, *products])
    done: list[object] = []

    def timed(work):  # type: ignore[no-untyped-def]
        done.append(work())
        return next(seconds), done[-1]

    monkeypatch.setattr(limits, "timed", timed)
    assert limits.measure(2) == {"memory_bytes_s": READ_BYTES / 0.125, "int8_ops_s": 2 * SIDE**3 / best}
    assert torch.get_num_threads() == 2
    assert next(seconds, None) is None
    read, product, fbgemm = done[0], done[REPEATS], done[2 * REPEATS]
    assert int(read) == READ_BYTES // 8  # every element was read
    # int8 by int8 in both, and as many rows and columns as the count of operations says.
    assert (product.dtype, product.shape) == (torch.int32, (SIDE, SIDE))
    assert (fbgemm.dtype, fbgemm.shape) == (torch.quint8, (SIDE, SIDE))
