"""Growth curves: the measured lengths, the exponent of growth, and a self-contained chart."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_host.bench.growth import Growth, draw, main, measure


def _growth(power: float, lengths: tuple[int, ...] = (32, 64, 128)) -> Growth:
    """A bundle whose total costs grow with exponent ``power``."""
    a_token = {length: length ** (power - 1) for length in lengths}
    whole = {length: length**power for length in lengths}
    return Growth("a", 1000, {"prefill": a_token, "context": whole, "answer": a_token, "picture": whole})


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_exponent_is_of_the_total_cost(power: float) -> None:
    for curve in ("prefill", "context", "answer", "picture"):
        assert _growth(power).exponent(curve) == pytest.approx(power)


def test_every_length_is_measured(tiny_bundle: Bundle) -> None:
    found = measure(str(tiny_bundle.path))
    assert all(value > 0 for value in found.values())
    assert [key for key in found if "picture" not in key] == [
        "prefill@32", "prefill@64", "prefill@128", "prefill@256",
        "answer@32", "answer@64", "answer@128", "answer@192",
        "context@64", "context@128", "context@248",
    ]  # fmt: skip
    assert [key for key in found if "picture" in key] == [f"picture@{at}" for at in range(1, 9)]


def test_the_chart_is_self_contained() -> None:
    svg = ElementTree.fromstring(draw([_growth(1), _growth(2)]))
    space = "{http://www.w3.org/2000/svg}"
    assert len(svg.findall(f"{space}svg")) == 4
    assert len(svg.findall(f".//{space}polyline")) == 8
    assert "href" not in draw([_growth(1)])


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^Error: .*absent\.mvlm"):
        main([str(tmp_path / "absent.mvlm"), "-o", str(tmp_path / "growth.svg")])
    assert list(tmp_path.iterdir()) == []
