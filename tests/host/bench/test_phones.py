"""The estimate for phones: peaks from cores, the slower of computing and reading, and always labeled as an estimate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError
from mobilevlm_host.bench.operations import Work
from mobilevlm_host.bench.phones import PHONES, Phone, estimates, main

PHONE = Phone("toy", ((1.0, 2), (0.5, 4)), bandwidth=10e9)


def test_peaks_are_those_of_the_cores() -> None:
    assert PHONE.linear_peak == 128e9  # 2 pipes x 16 products x 2 x 1 GHz, and the same by 4 at half the clock
    assert PHONE.float_peak == 32e9
    assert [round(phone.linear_peak / 1e9) for phone in PHONES] == [576, 828]


def test_the_slower_of_computing_and_reading_counts() -> None:
    assert PHONE.seconds(Work(128_000_000_000, 32_000_000_000, 10)) == pytest.approx(2)
    assert PHONE.seconds(Work(128, 0, 30_000_000_000)) == pytest.approx(3)
    assert PHONE.seconds(Work(128_000_000_000, 0, 10), compute=0.5) == pytest.approx(2)
    assert PHONE.seconds(Work(128, 0, 10_000_000_000), bandwidth=0.5) == pytest.approx(2)
    limit, reached, least = PHONE.estimate(Work(128_000_000_000, 0, 10))
    assert (limit, reached, least) == pytest.approx((1, 2, 4))


def _with_recipe(bundle: Bundle, **recipe: str) -> Any:
    values = dict(bundle.manifest.values)
    values["quantization"] = {**values["quantization"], "recipe": recipe}
    return replace(bundle.manifest, values=values)


def test_a_phone_with_more_of_both_is_faster(tiny_bundle: Bundle) -> None:
    rows = estimates(_with_recipe(tiny_bundle, name="int8", llm="int8", vision="int8"))
    assert [row[0] for row in rows] == ["Snapdragon 778G", "", "", "Snapdragon 888", "", ""]
    slow, fast = (float(rows[at][2].split()[0]) for at in (2, 5))
    assert fast == pytest.approx(2 * slow, rel=0.01)  # decode is bound by bandwidth, which is twice as much


def test_the_output_is_labeled_as_an_estimate(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mobilevlm_host.bench.phones.estimates", lambda manifest: [("a", "b", "1", "2", "3")])
    main([str(tiny_bundle.path)])
    shown = capsys.readouterr().out
    assert shown.startswith("ESTIMATE for")
    assert "Check this phone" in shown


def test_what_cannot_be_estimated_is_refused(tiny_bundle: Bundle, tiny_coreml_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="got the recipe fp32, expected one whose linears are int8 or int4"):
        estimates(tiny_bundle.manifest)
    with pytest.raises(BundleError, match="got artifacts for coreml, expected executorch"):
        estimates(tiny_coreml_bundle.manifest)
    with pytest.raises(SystemExit, match=r"^Error: .*absent"):
        main([str(tmp_path / "absent.mvlm")])
    with pytest.raises(SystemExit, match=r"^usage: "):
        main([])
