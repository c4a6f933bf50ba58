"""A Core AI program and its twin: the same operators over the same integers, with float32 wherever the program has float16.

Apple's runtime for Linux computes float16 slowly and adds in float16, unlike a phone. So what a desktop can show is the twin's result:
the program's graph, integers, scales and states. It is made from the saved program's own listing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobilevlm_export.dependencies.coreai_private import listing_of, program_of

PROGRAM_FILE = "main.mlirb"  # in a saved program's folder
_RESOURCE = re.compile(r'(resource_\w+): "0x([0-9a-fA-F]*)"')
_RESOURCE_TYPE = re.compile(r"dense_resource<(resource_\w+)> : tensor<(?:[\dx]*x)?(\w+)>")
_INLINE = re.compile(r'dense<"0x([0-9a-fA-F]*)"> : tensor<([\dx]*)f16>')
_HALF = re.compile(r"(?<![A-Za-z0-9_.@%#])f16\b|(?<=x)f16\b")
_OPERATOR = re.compile(r"(?:^|= )(coreai[\w.]*)")
_INTEGERS = re.compile(r"coreai\.constant dense_resource<\w+> : tensor<([\dx]*)x(si[48])>")
_HEADER = 4  # bytes before a resource's data: its alignment


@dataclass(frozen=True)
class ProgramListing:
    """What a saved program contains: its ``text``, operators by name, and integer weights by type."""

    text: str

    @property
    def operators(self) -> Counter[str]:
        """How often each operator appears, in all functions."""
        lines = self.text.partition("{-#")[0].splitlines()
        return Counter(found[1] for line in lines if (found := _OPERATOR.search(line.strip())))

    @property
    def integers(self) -> Mapping[str, int]:
        """The number of integer weights by type, ``int4`` and ``int8``."""
        counts: Counter[str] = Counter()
        for shape, kind in _INTEGERS.findall(self.text):
            counts[kind.replace("si", "int")] += int(np.prod([int(side) for side in shape.split("x")]))
        return counts


def read_listing(asset: Path) -> ProgramListing:
    """The listing of the saved program ``asset``, without its large arrays.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    return ProgramListing(listing_of(asset, with_weights=False))


def write_twin(asset: Path, twin: Path) -> None:
    """Write the twin of the saved program ``asset`` to the new folder ``twin``, ``NAME.aimodel``.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    import coreai.runtime

    program = program_of(_widened(listing_of(asset, with_weights=True)))
    program.save_asset(twin, metadata=coreai.runtime.AIModelAssetMetadata())


def _widened(listing: str) -> str:
    """``listing`` with float32 for float16, in types and data."""
    types = dict(_RESOURCE_TYPE.findall(listing))

    def resource(found: re.Match[str]) -> str:
        name, data = found[1], found[2]
        if types.get(name) != "f16":
            return found[0]
        return f'{name}: "0x{data[: 2 * _HEADER]}{_wide(data[2 * _HEADER :])}"'

    listing = _RESOURCE.sub(resource, listing)
    listing = _INLINE.sub(lambda found: f'dense<"0x{_wide(found[1])}"> : tensor<{found[2]}f16>', listing)
    return _HALF.sub("f32", listing)


def _wide(data: str) -> str:
    return np.frombuffer(bytes.fromhex(data), np.float16).astype(np.float32).tobytes().hex()
