"""Only RFC 8259's JSON is accepted, and whatever is accepted can be written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilevlm_export.files.strict_json import MAX_BYTES, JsonError, parse_json, read_json

_REFUSED = {
    "": "truncated JSON",
    "{": "truncated JSON",
    '["a': "truncated JSON",
    "[1,]": "invalid JSON at column",
    "{\n'a': 1}": "invalid JSON at line 2 column 1",
    "[1] 2": "invalid JSON at column 5",
    "NaN": "NaN, which is not JSON",
    "[-Infinity]": "-Infinity, which is not JSON",
    "1e999": "the number 1e999 in JSON, too large",
    str(1 << 63): "beyond 64 bits",
    "9" * 400: "beyond 64 bits",
    "-" + "9" * 5000: "beyond 64 bits",
    '"\\ud800"': "an unpaired surrogate",
    '{"\\udc00": 1}': "an unpaired surrogate",
    '{"a": 1, "b": 2, "a": 3}': "the key 'a' twice",
    "[" * 100_000: "nested too deeply",
    "[" * 202 + "]" * 202: "nested too deeply",
    '{"a":' * 202 + "1" + "}" * 202: "nested too deeply",
}


@pytest.mark.parametrize(("text", "reason"), _REFUSED.items(), ids=range(len(_REFUSED)))
def test_invalid_json_is_refused_in_one_line(text: str, reason: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(JsonError) as caught:
            parse_json(data)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 120


def test_valid_json_is_read_unchanged() -> None:
    value = {
        "a": [1, -1, 0.5, 1e300, True, None, "é😀"],
        "b": {"c": [[], {}]},
        "largest": (1 << 63) - 1,
        "least": -(1 << 63),
    }
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value
    assert parse_json("[" * 200 + "]" * 200)


def test_bytes_are_utf_8_and_files_have_a_size_limit(tmp_path: Path) -> None:
    with pytest.raises(JsonError, match=r"invalid UTF-8 \(invalid start byte at byte 1\)"):
        parse_json(b'"\xff"')
    file = tmp_path / "a.json"
    file.write_bytes(b"[" + b" " * MAX_BYTES + b"]")
    with pytest.raises(JsonError, match=f"more than {MAX_BYTES} bytes"):
        read_json(file)
    with pytest.raises(JsonError):
        read_json(Path("/dev/zero"))
    file.write_text("[1]")
    assert read_json(file) == [1]
