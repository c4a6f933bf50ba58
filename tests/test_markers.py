"""A test gets its markers by what it names, and one without "export" can't export: make test-fast stays fast."""

from __future__ import annotations

from pathlib import Path

import pytest
from markers import NAMES

from mobilevlm_export import pipeline
from mobilevlm_export.quantize.recipe import RECIPES

_EXPORTED = {"demo_bundle", "demo_for_all_backends", "tiny_bundle", "tiny_coreml_bundle", "seam"}  # fixtures


def test_what_uses_an_exported_bundle_is_marked(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert isinstance(item, pytest.Function)
        uses = _EXPORTED & set(item.fixturenames)
        assert not uses or item.get_closest_marker("export"), f"{item.nodeid} uses {uses}"


@pytest.mark.parametrize("backend", pipeline.BACKENDS)
def test_what_is_not_marked_can_not_export(tiny_checkpoint: Path, tmp_path: Path, backend: str) -> None:
    export = getattr(pipeline, f"export_{'bundle'}")  # spelled so that the test isn't marked
    job = pipeline.ExportJob(tiny_checkpoint, tmp_path / "x.mvlm", RECIPES["fp32"], backends=(backend,))
    with pytest.raises(pytest.fail.Exception, match=r"mark it with @pytest\.mark\.export"):
        export(job)


def _helper() -> None:
    raise AssertionError("export_bundle")


def test_the_names_of_helpers_count(request: pytest.FixtureRequest) -> None:
    """This test names a helper that names an export."""
    assert callable(_helper)
    assert "export_bundle" in NAMES["export"]
    assert request.node.get_closest_marker("export")
