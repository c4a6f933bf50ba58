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

from mobilevlm_export.dependencies.coreai_private import listing_of, read_program, rewritten

PROGRAM_FILE = "main.mlirb"  # in a saved program's folder
_INLINE = re.compile(r'dense<"0x([0-9a-fA-F]*)"> : tensor<([\dx]*)f16>')
_HALF = re.compile(r"(?<![A-Za-z0-9_.@%#])f16\b|(?<=x)f16\b")
_OPERATOR = re.compile(r"(?:^|= )(coreai[\w.]*)")
_INTEGERS = re.compile(r"coreai\.constant dense_resource<\w+> : tensor<([\dx]*)x(si[48])>")


@dataclass(frozen=True)
class ProgramListing:
    """What a saved program contains: its ``text``, operators by name, and integer weights by type."""

    text: str

    @property
    def operators(self) -> Counter[str]:
        """How often each operator appears, in all functions."""
        return Counter(found[1] for line in self.text.splitlines() if (found := _OPERATOR.search(line.strip())))

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
    return ProgramListing(listing_of(read_program(asset)))


def write_twin(asset: Path, twin: Path) -> None:
    """Write the twin of the saved program ``asset`` to the new folder ``twin``, ``NAME.aimodel``.

    Raises:
        DependencyError: the installed version has moved what this needs.
    """
    import coreai.runtime

    program = read_program(asset)
    wide = rewritten(program, _widened(listing_of(program)), _float32)
    wide.save_asset(twin, metadata=coreai.runtime.AIModelAssetMetadata())


def _widened(listing: str) -> str:
    """``listing`` with float32 for float16, in types and small arrays."""

    def array(found: re.Match[str]) -> str:
        return f'dense<"0x{_float32(bytes.fromhex(found[1])).tobytes().hex()}"> : tensor<{found[2]}f16>'

    return _HALF.sub("f32", _INLINE.sub(array, listing))


def _float32(halves: bytes) -> np.ndarray:
    return np.frombuffer(halves, np.float16).astype(np.float32)
