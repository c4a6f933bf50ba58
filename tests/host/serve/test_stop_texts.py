"""Stop texts in a stream that is cut anywhere."""

from __future__ import annotations

import pytest

from mobilevlm_host.serve.stop_texts import StopTexts


def _shown(text: str, stops: list[str], size: int) -> tuple[str, bool]:
    found = StopTexts(stops)
    shown = "".join(found.add(text[at : at + size]) for at in range(0, len(text), size))
    return shown + found.finish(), found.found


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_text_ends_before_the_first_stop_text(size: int) -> None:
    text = "A red circle.\n\nUSER: what"
    assert _shown(text, ["\n\n"], size) == ("A red circle.", True)
    assert _shown(text, ["USER:", "circle"], size) == ("A red ", True)
    assert _shown(text, ["whatever", "z"], size) == (text, False)
    assert _shown(text, [], size) == (text, False)
    assert _shown("aaab", ["aab"], size) == ("a", True)


def test_text_is_held_no_longer_than_it_must() -> None:
    stops = StopTexts(["STOP"])
    assert [stops.add(text) for text in ("a S", "T", "x", "STO", "P")] == ["a ", "", "STx", "", ""]
