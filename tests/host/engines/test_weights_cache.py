"""XNNPACK's weights cache can be switched on; tests/export/lower/test_executorch.py has what it does to programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mobilevlm_export.errors import DependencyError, RunnerError
from mobilevlm_host.engines import weights_cache
from mobilevlm_host.engines.weights_cache import use_weights_cache


def test_an_executorch_without_the_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_cache, "SET_OPTION", replace(weights_cache.SET_OPTION, name="no_such_function"))
    with pytest.raises(DependencyError, match=r"libexecutorch\.so: got .*no_such_function, expected no_such_function"):
        use_weights_cache()


def test_a_backend_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_cache, "_BACKEND", b"NoSuchBackend")
    with pytest.raises(RunnerError, match=r"got error 0x20 from set_option, expected weight_cache_enabled to be set"):
        use_weights_cache()
