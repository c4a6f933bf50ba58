"""Seeded damage: to bytes, and to the values of JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

_BYTES = (0, 1, 0x7F, 0x80, 0xFF)
_WORDS = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 8, b"\xff" * 8, b"../", b"'; x;'")
_NUMBERS = (-1, 0, 1, 255, 256, 1 << 31, 1 << 62, 1 << 63, -(1 << 63), 10**400, 0.5, -0.0, 1e300, 1e999, float("nan"))
_TEXTS = ("", "\0\n", "\ud800", "../x", "/x", "a';touch X;'", "x" * 3000)
_VALUES: tuple[Any, ...] = (None, True, *_NUMBERS, *_TEXTS, [], [-1], [1 << 62], [None] * 4, {}, {"": {}})


def damaged(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one to four faults: bytes changed, removed, repeated, moved, or replaced by extreme values for lengths and offsets."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        # Most formats describe the rest of the file at its start or end.
        at = rng.choice((at, at, min(at, rng.randrange(200)), max(at, len(out) - rng.randrange(200))))
        match rng.randrange(8):
            case 0:
                del out[at:]
            case 1:
                del out[at : at + rng.randrange(1, 40)]
            case 2:
                out[at:at] = out[at : at + rng.randrange(1, 200)]
            case 3:
                out[at : at + 1] = bytes([rng.choice(_BYTES)])
            case 4:
                word = rng.choice(_WORDS)
                out[at : at + len(word)] = word
            case 5:
                out[at:at] = rng.randbytes(rng.randrange(1, 20))
            case _:
                out[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(out)


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """The JSON ``data`` with one to three values replaced, removed, repeated or nested."""
    values = copy.deepcopy(json.loads(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(values))
        if not places:
            break
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder += [copy.deepcopy(holder[key])] * rng.choice((1, 1, 2000))
            case 1:
                holder["also " + key] = holder[key]
            case 2:
                holder[key] = [holder[key]]
            case _:
                holder[key] = copy.deepcopy(rng.choice(_VALUES))
    text = json.dumps(values)
    if rng.random() < 0.05:
        depth = rng.choice((150, 400, 100_000))
        text = text.replace(rng.choice(("0", '""', "1", "null")), "[" * depth + "]" * depth, 1)
    return text.encode()


def _places(value: Any) -> Any:
    """Each container in ``value`` with each of its keys or indices."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
