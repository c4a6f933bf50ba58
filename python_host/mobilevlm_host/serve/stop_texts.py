"""Streamed text that ends before the first of some stop texts."""

from __future__ import annotations

from collections.abc import Sequence


class StopTexts:
    """Passes text on as it arrives, but for what may still become one of ``stops``; ``found`` once one is complete."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def add(self, text: str) -> str:
        """What can be shown now that ``text`` has arrived."""
        if self.found:
            return ""
        self._held += text
        places = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        # The longest end of the text that begins a stop text is held back.
        hold = max((n for stop in self._stops for n in range(1, len(stop)) if self._held.endswith(stop[:n])), default=0)
        cut = len(self._held) - hold
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        """What was held back when no more text arrives."""
        rest, self._held = self._held, ""
        return rest
