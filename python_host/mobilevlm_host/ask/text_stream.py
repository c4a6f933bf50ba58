"""Token pieces → streamed text in complete characters."""

from __future__ import annotations

import codecs
import re
from collections.abc import Set

_SPACE = "\u2581"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TextStream:
    """Assembles the SentencePiece pieces of single tokens.

    A piece such as ``<0xE4>`` is one byte of a character that the vocabulary lacks: it waits for the rest of the character; bytes that
    never form one become U+FFFD. The space before the first word belongs to the prompt and is dropped. Special tokens add no text.
    """

    def __init__(self, specials: Set[str]) -> None:
        """``specials`` are pieces that are never shown, such as ``<s>``."""
        self._specials = specials
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._started = False

    def add(self, piece: str) -> str:
        """The text that ``piece`` completes, possibly none."""
        if piece in self._specials:
            return ""
        spelled = _BYTE.fullmatch(piece)
        encoded = bytes([int(spelled[1], 16)]) if spelled else piece.replace(_SPACE, " ").encode()
        return self._shown(self._decoder.decode(encoded))

    def finish(self) -> str:
        """The replacement text for an incomplete last character."""
        return self._shown(self._decoder.decode(b"", final=True))

    def _shown(self, text: str) -> str:
        if not text or self._started:
            return text
        self._started = True
        return text.removeprefix(" ")
