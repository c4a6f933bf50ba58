"""What the kit uses of dependencies' private parts is where it was; a new version that moves it fails here, by its name."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from repository import ROOT

from mobilevlm_export.dependencies import (
    coreai_private,
    coremltools_private,
    executorch_private,
    torchao_private,
    xnnpack_private,
)
from mobilevlm_export.dependencies.private_api import PrivateApi, PrivateFile, PrivateSymbol, replaced
from mobilevlm_export.errors import DependencyError

_MODULES = (executorch_private, xnnpack_private, coremltools_private, coreai_private)
_VALUES = [
    each
    for module in _MODULES
    for value in vars(module).values()
    for each in (value if isinstance(value, tuple) else (value,))
]
APIS = list(dict.fromkeys(value for value in _VALUES if isinstance(value, PrivateApi)))
FILES = list(dict.fromkeys(value for value in _VALUES if isinstance(value, PrivateFile)))
SYMBOLS = [value for value in _VALUES if isinstance(value, PrivateSymbol)]


@pytest.mark.parametrize("api", APIS, ids=lambda api: f"{api.module}.{api.name}")
def test_a_private_name_is_where_it_was(api: PrivateApi) -> None:
    assert api.load() is not None
    assert version(api.package).startswith(api.seen_in), f"{api.package} has a new version: look at {api.name} again"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.pattern)
def test_a_file_is_where_it_was(file: PrivateFile) -> None:
    assert file.find().is_file()


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.name)
def test_a_library_exports_its_function(symbol: PrivateSymbol) -> None:
    assert symbol.load(None)
    assert version("executorch") == symbol.file.seen_in, f"executorch has a new version: look at {symbol.name} again"


def test_torchao_is_the_version_that_was_seen() -> None:
    assert version("torchao").startswith(torchao_private.SEEN_IN)


def test_what_has_moved_is_named() -> None:
    api = PrivateApi("executorch", "1.5.1", "executorch.runtime", "gone", "does something")
    with pytest.raises(DependencyError, match=r"executorch \S+: got no executorch.runtime.gone, which does something"):
        api.load()
    file = PrivateFile("executorch", "1.5.1", "no/such/file", "does something")
    with pytest.raises(DependencyError, match="got 0 files no/such/file, which does something, expected one"):
        file.find()
    symbol = PrivateSymbol(executorch_private.LIBRARY, "_Z4gonev", "does something")
    with pytest.raises(DependencyError, match=r"libexecutorch\.so: got .*, expected _Z4gonev, which does something"):
        symbol.load(None)


def test_a_replaced_attribute_comes_back() -> None:
    class Base:
        @staticmethod
        def name() -> int:
            return 1

    class Heir(Base):
        pass

    for owner in (Base, Heir):
        with replaced(owner, "name", staticmethod(lambda: 2)):
            assert owner.name() == owner().name() == 2
        assert owner.name() == owner().name() == 1
    assert "name" not in vars(Heir)


def test_private_parts_are_used_in_those_modules_only() -> None:
    private = re.compile(
        r"^\s*(from|import) (executorch|torchao|coremltools|coreai|coreai_torch)\S*\._\w|\bqdata\b|unittest|\.mock\b",
        re.MULTILINE,
    )
    folders = [ROOT / "export" / "mobilevlm_export", ROOT / "python_host" / "mobilevlm_host"]
    users = {file.name for folder in folders for file in folder.rglob("*.py") if private.search(file.read_text())}
    assert users == {"torchao_private.py"}
