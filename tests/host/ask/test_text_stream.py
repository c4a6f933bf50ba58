"""Streams show whole characters, spaces between words, and nothing broken."""

from __future__ import annotations

import pytest

from mobilevlm_host.ask.text_stream import TextStream


def _pieces(text: str) -> list[str]:
    return [f"<0x{byte:02X}>" for byte in text.encode()]


@pytest.mark.parametrize("text", ["你好", "😀", "é", "👨‍👩‍👧"])
def test_characters_spelled_in_bytes_come_whole(text: str) -> None:
    stream = TextStream(frozenset())
    shown = [stream.add(piece) for piece in _pieces(text)]
    assert "".join(shown) == text
    assert all("\ufffd" not in part for part in shown)
    assert len([part for part in shown if part]) == len(text)
    assert stream.finish() == ""


def test_words_keep_their_spaces_but_not_the_first() -> None:
    stream = TextStream(frozenset())
    assert [stream.add(piece) for piece in ("▁a", "▁red", "▁", "7", "s")] == ["a", " red", " ", "7", "s"]


def test_an_incomplete_character_is_shown_as_unknown() -> None:
    stream = TextStream(frozenset())
    assert [stream.add(piece) for piece in _pieces("你")[:2]] == ["", ""]
    assert stream.finish() == "\ufffd"
    broken = TextStream(frozenset())
    assert "".join([broken.add("<0xE4>"), broken.add("▁a"), broken.finish()]) == "\ufffd a"
