"""A part of a dependency that may move in any release: where it is, why it is used, and the version it was seen in."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mobilevlm_export.errors import DependencyError


@dataclass(frozen=True)
class PrivateApi:
    """``name`` in ``module`` of ``package``, as in version ``seen_in``; ``reason`` is what it is used for."""

    package: str
    seen_in: str
    module: str
    name: str
    reason: str

    def load(self) -> Any:
        """Import it.

        Raises:
            DependencyError: the installed version has moved it.
        """
        try:
            return getattr(import_module(self.module), self.name)
        except (ImportError, AttributeError):
            raise DependencyError(
                f"{self.package} {version(self.package)}: got no {self.module}.{self.name}, which {self.reason}, "
                f"expected it as in {self.seen_in}"
            ) from None


@dataclass(frozen=True)
class PrivateFile:
    """The one file of ``package`` that ``pattern`` matches (a path from its folder), as in version ``seen_in``."""

    package: str
    seen_in: str
    pattern: str
    reason: str

    def find(self) -> Path:
        """Its path. The package isn't imported.

        Raises:
            DependencyError: there is none, or more than one.
        """
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations or () if spec else ()
        found = [file for folder in folders for file in Path(folder).glob(self.pattern)]
        if len(found) != 1:
            raise DependencyError(
                f"{self.package}: got {len(found)} files {self.pattern}, which {self.reason}, "
                f"expected one as in {self.seen_in}"
            )
        return found[0]


@dataclass(frozen=True)
class PrivateSymbol:
    """The C++ function ``name``, mangled, that the library ``file`` exports; ``reason`` is what it is used for."""

    file: PrivateFile
    name: str
    reason: str

    def load(self, result: Any, *arguments: Any) -> Any:
        """The function, with the ctypes of its ``result`` and ``arguments``.

        Raises:
            DependencyError: the library is missing or doesn't export it.
        """
        library = self.file.find()
        try:
            function = ctypes.CDLL(str(library))[self.name]
        except (OSError, AttributeError) as error:
            raise DependencyError(
                f"{library}: got {error}, expected {self.name}, which {self.reason}, as in {self.file.seen_in}"
            ) from None
        function.restype, function.argtypes = result, arguments
        return function


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let ``owner`` have ``value`` as its attribute ``name`` within this context."""
    own = vars(owner).get(name)  # as it is stored: a static method stays one; None: inherited
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
