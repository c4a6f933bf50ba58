"""The markers of pyproject.toml, set by what a test names: nobody has to remember them, and a test without "export" can't export.

``slow`` and ``thorough`` are set by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import pytest
import torch
from repository import TESTS

from mobilevlm_export import pipeline

# A test has a marker if it, a fixture or a helper of its own names one of these: a fixture, a function, or a word of a command.
NAMES = {
    "export": {
        "demo_bundle",
        "demo_for_all_backends",
        "tiny_bundle",
        "tiny_coreml_bundle",
        "tiny_coreai_bundle",
        "export_bundle",
        "exported",
        "run_demo",
        "export_with_golden",
        "lower_executorch",
        "lower_coreml",
        "lower_coreai",
        "to_edge",
        "to_edge_transform_and_lower",
        "export",
    },
    "emulated": {"run_methods", "arm64-v8a", "--arm64"},
    "jvm": {"run_tests", "x86_64"},
}


def add_markers(item: pytest.Item) -> None:
    """Add each marker to ``item`` that what it names asks for."""
    assert isinstance(item, pytest.Function)
    named: set[str] = set(item.fixturenames)
    if hasattr(item, "callspec"):
        named |= {value for value in item.callspec.params.values() if isinstance(value, str)}
    seen: set[Any] = set()
    _collect_names(item.obj, named, seen)
    # A fixture is asked for by its name alone, or by getfixturevalue(name).
    followed: set[str] = set()
    while waiting := named - followed:
        followed |= waiting
        for name in waiting:
            for definition in item.session._fixturemanager.getfixturedefs(name, item) or ():
                named.update(definition.argnames)
                _collect_names(definition.func, named, seen)
    for marker, names in NAMES.items():
        if names & named:
            item.add_marker(marker)


def _collect_names(thing: Any, named: set[str], seen: set[Any]) -> None:
    """Add the names and strings in the code of ``thing``, and of the tests' functions and classes that it names."""
    thing = getattr(thing, "__func__", thing)
    if not isinstance(thing, (type, FunctionType)) or thing in seen:
        return
    seen.add(thing)
    if isinstance(thing, type):
        for member in vars(thing).values():
            _collect_names(member, named, seen)
        return
    if not thing.__code__.co_filename.startswith(str(TESTS)):
        return
    found = set(_names_in(thing.__code__))
    named |= found
    for name in found:
        _collect_names(thing.__globals__.get(name), named, seen)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from (each for each in value if isinstance(each, str))
        elif isinstance(value, CodeType):
            yield from _names_in(value)


@contextmanager
def only_marked_exports(item: pytest.Item) -> Iterator[None]:
    """Make an export fail in a test that hasn't the marker: it would slow down ``make test-fast``."""
    if item.get_closest_marker("export"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.export, "export", _refuse)
        patch.setattr(pipeline, "_lower_coreml", _refuse)
        patch.setattr(pipeline, "_lower_coreai", _refuse)
        yield


def _refuse(*_: object, **__: object) -> None:
    pytest.fail("this test exports, which tests/markers.py didn't see: mark it with @pytest.mark.export")
