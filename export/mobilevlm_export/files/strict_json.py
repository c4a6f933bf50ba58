"""Strict JSON (RFC 8259) from untrusted files, so that every value can be used, displayed and written again.

Also rejected: duplicate keys in an object, NaN and infinities (including ``1e999``), integers beyond 64 bits, unpaired surrogates,
more than 200 levels of nesting. The apps' readers reject the same.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

MAX_BYTES = 1 << 24
_MAX_DEPTH = 200
_LARGEST = 1 << 63


class JsonError(ValueError):
    """What was found instead of JSON: one line, without the file's name."""


def read_json(path: Path) -> Any:
    """The value in the file ``path``, at most 16 MiB.

    Raises:
        JsonError: it is too large or not JSON.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise JsonError(f"more than {MAX_BYTES} bytes")
    return parse_json(data)


def parse_json(data: bytes | str) -> Any:
    """The value of the JSON text ``data`` (bytes: UTF-8).

    Raises:
        JsonError: it is not JSON.
    """
    text = data if isinstance(data, str) else _decoded(data)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise JsonError(_malformed(error, text)) from None
    except RecursionError:
        raise JsonError("JSON nested too deeply") from None
    _require_shallow_text(value)
    return value


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"invalid UTF-8 ({error.reason} at byte {error.start})") from None


def _malformed(error: json.JSONDecodeError, text: str) -> str:
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated"):
        return "truncated JSON"
    place = f"line {error.lineno} column {error.colno}" if "\n" in text else f"column {error.colno}"
    return f"invalid JSON at {place}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        (duplicate, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise JsonError(f"the key {duplicate!r:.40} twice in a JSON object")
    return values


def _whole(spelled: str) -> int:
    if len(spelled) > 20 or not -_LARGEST <= (number := int(spelled)) < _LARGEST:
        raise JsonError(f"the number {spelled:.20}… in JSON, beyond 64 bits")
    return number


def _finite(spelled: str) -> float:
    number = float(spelled)
    if number - number != 0:
        raise JsonError(f"the number {spelled:.20} in JSON, too large")
    return number


def _constant(spelled: str) -> NoReturn:
    raise JsonError(f"{spelled}, which is not JSON")


def _require_shallow_text(value: Any) -> None:
    """Raise JsonError if ``value`` is nested too deeply or contains text that can't be encoded."""
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        deeper = []
        for each in level:
            if isinstance(each, str):
                _require_text(each)
            elif isinstance(each, list):
                deeper += each
            elif isinstance(each, dict):
                deeper += each.values()
                deeper += each
        if not deeper:
            return
        level = deeper
    raise JsonError("JSON nested too deeply")


def _require_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise JsonError("an unpaired surrogate in a JSON text") from None
