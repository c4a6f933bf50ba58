"""The native methods declared by an app's classes, from the output of Debian's ``dexdump``."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from mobilevlm_export.errors import ApkError
from mobilevlm_export.files.scratch import ScratchFolder

_CLASS = re.compile(r"  Class descriptor\s*: 'L(.+);'")
_NAME = re.compile(r"      name\s*: '(.+)'")
_TYPE = re.compile(r"      type\s*: '(.+)'")
_ACCESS = re.compile(r"      access\s*: \S+ \((.*)\)")


@dataclass(frozen=True)
class NativeMethod:
    """A method without code: ``owner`` is its class as ``org/pytorch/executorch/Module``, ``type`` its JNI descriptor."""

    owner: str
    name: str
    type: str

    @property
    def symbol(self) -> str:
        """The exported name that the runtime looks up if the method isn't registered."""
        return f"Java_{_mangled(self.owner)}_{_mangled(self.name)}"

    def __str__(self) -> str:
        return f"{self.owner.replace('/', '.')}.{self.name}{self.type}"


def native_methods(dex: bytes) -> list[NativeMethod]:
    """All native methods of a ``classes.dex``.

    Raises ``ApkError`` if ``dexdump`` is missing or can't read it.
    """
    with ScratchFolder() as folder:
        file = folder / "classes.dex"
        file.write_bytes(dex)
        try:
            run = subprocess.run(["dexdump", str(file)], capture_output=True, check=True)
        except FileNotFoundError as error:
            raise ApkError("dexdump is not installed, expected it on PATH (Debian: apt-get install dexdump)") from error
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines()
            raise ApkError(f"dexdump: {lines[-1] if lines else 'failed'}, expected a classes.dex") from error
    return _natives(run.stdout.decode(errors="replace"))


def _natives(listing: str) -> list[NativeMethod]:
    found = []
    owner = name = kind = ""
    for line in listing.splitlines():
        if match := _CLASS.match(line):
            owner = match[1]
        elif match := _NAME.match(line):
            name = match[1]
        elif match := _TYPE.match(line):
            kind = match[1]
        elif (match := _ACCESS.match(line)) and "NATIVE" in match[1].split():
            found.append(NativeMethod(owner, name, kind))
    return found


def _mangled(name: str) -> str:
    """JNI's mangled form of a name."""
    spelled = {"/": "_", "_": "_1", ";": "_2", "[": "_3"}
    return "".join(
        spelled.get(letter, letter if letter.isascii() and letter.isalnum() else f"_0{ord(letter):04x}")
        for letter in name
    )
