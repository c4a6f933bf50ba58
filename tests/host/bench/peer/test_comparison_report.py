"""Ratios are within a round, and always above 1 where the kit is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tiny import TINY

from mobilevlm_export.config import preset
from mobilevlm_export.model import MobileVLM
from mobilevlm_host.bench.measurement import Spread
from mobilevlm_host.bench.operations import per_image, per_prefilled_token
from mobilevlm_host.bench.peer.comparison_report import Accuracy, ComparedSystem, PeerComparison, print_comparison

_SECONDS = ("load_s", "image_encode_s", "first_ttft_s", "ttft_s", "ttft_prepared_s")


def system(name: str, factor: float, accuracy: Accuracy | None = None) -> ComparedSystem:
    """Seconds and bytes in three rounds, with the machine half as fast in the last."""
    figures = {key: Spread((factor, factor, 2 * factor)) for key in _SECONDS}
    figures |= {key: Spread((10 * factor,) * 3) for key in ("peak_memory_bytes", "own_memory_bytes")}
    figures |= {key: Spread((8 / factor, 8 / factor, 4 / factor)) for key in ("prefill_tok_s", "decode_tok_s")}
    return ComparedSystem(name, int(1000 * factor), 20, figures, accuracy, "3 Q4_0")


@pytest.fixture
def found() -> PeerComparison:
    kit = system("mvlm int4", 1, Accuracy(200, 197, 190, 191))
    peer = system("Q4_0 + F16", 2, Accuracy(200, 150, 180, 191))
    limits: Mapping[str, Spread] = {
        "memory_bytes_s": Spread((320.0, 320.0, 160.0)),
        "int8_ops_s": Spread((8000.0, 8000.0, 4000.0)),
    }
    return PeerComparison("tiny", 2, 3, 64, limits, kit, [peer], operations_per_token=500, operations_per_image=4000)


def test_ratios_are_round_by_round_and_above_1_where_the_kit_is_better(found: PeerComparison) -> None:
    for figure in found.kit.figures:
        assert found.ratio(figure, found.peers[0]).samples == (2, 2, 2)
    assert found.ratio("ttft_s", found.peers[0], "ttft_prepared_s").samples == (2, 2, 2)


def test_shares_are_of_the_peak_in_the_same_round(found: PeerComparison) -> None:
    assert found.shares(found.kit)["decode"].samples == (0.5, 0.5, 0.5)
    assert found.shares(found.kit)["prefill"].samples == (0.5, 0.5, 0.5)
    assert found.shares(found.peers[0])["image encode"].samples == (0.25, 0.25, 0.25)


def test_the_table_has_speed_memory_files_and_accuracy(
    found: PeerComparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(found)
    table = capsys.readouterr().out
    for row in ("image encode", "prefill, 64 tokens", "decode", "peak memory", "files, all parts"):
        assert row in table
    answers = next(line for line in table.splitlines() if "equal to fp32's" in line)
    assert answers.split()[-2:] == ["197", "150"]
    assert next(line for line in table.splitlines() if "correct (fp32: 191)" in line).split()[-2:] == ["190", "180"]
    assert "Q4_0 + F16: 3 Q4_0." in table


def test_operations_are_those_of_the_linears() -> None:
    model = MobileVLM(TINY)
    layers = sum(p.numel() for name, p in model.text_decoder.layers.named_parameters() if "proj" in name)
    assert per_prefilled_token(TINY) == 2 * layers
    # Published: the tower and projector of CLIP-L at 336 pixels are about 0.35 · 10¹² operations an image.
    assert 3.4e11 < per_image(preset("1.7b")) < 3.8e11


def test_loads_without_the_file_of_packed_weights_have_rows(
    found: PeerComparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(found)
    assert "weights in memory" not in capsys.readouterr().out
    found = replace(found, loads={"load_in_memory_s": Spread((2.0, 3.0, 4.0)), "load_writing_s": Spread((9.0,))})
    print_comparison(found)
    table = capsys.readouterr().out
    assert next(line for line in table.splitlines() if "load, weights in memory" in line).split()[-2:] == ["3.00", "s"]
    assert next(line for line in table.splitlines() if "load, writing them once" in line).split()[-2:] == ["9.00", "s"]
