"""Print random texts and their reference ids, to compare another language's tokenizer with."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from mobilevlm_export.demo.built_in import DEMO_CHECKPOINT
from mobilevlm_export.tokenizer import AWKWARD_TEXTS, Tokenizer

MODELS = {
    "demo": DEMO_CHECKPOINT / "tokenizer.model",
    "wide": Path(__file__).parent / "prompts" / "wide.model",
}
_LONGEST = 60
_BLOCKS = (
    (0x20, 0x7E),
    (0x00, 0x1F),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x400, 0x4FF),
    (0x600, 0x6FF),
    (0x2000, 0x206F),
    (0x2581, 0x2581),
    (0x3040, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0x1F300, 0x1F6FF),
    (0x1F1E6, 0x1F1FF),
    (0xE000, 0xF8FF),
    (0x10000, 0x10FFFF),
)


def texts(count: int, seed: int) -> Iterator[str]:
    """``count`` texts: concatenations of parts of real texts, pieces of the vocabularies, and characters of many scripts."""
    draw = random.Random(seed)
    vocabularies = [Tokenizer(path) for path in MODELS.values()]
    pieces = [vocabulary.piece(id) for vocabulary in vocabularies for id in range(3, vocabulary.vocab_size)]
    real = [text for text in AWKWARD_TEXTS if text]
    for _ in range(count):
        text = ""
        while not text or draw.random() < 0.7:
            kind = draw.random()
            if kind < 0.3:
                source = draw.choice(real)
                begin = draw.randrange(len(source))
                text += source[begin : begin + draw.randint(1, _LONGEST)]
            elif kind < 0.6:
                text += draw.choice(pieces).replace("\u2581", " ")
            elif kind < 0.7:
                text += " " * draw.randint(1, 4)
            else:
                low, high = draw.choice(_BLOCKS)
                text += "".join(chr(draw.randint(low, high)) for _ in range(draw.randint(1, 6)))
        yield text


def main() -> None:
    """Print one JSON object: ``cases`` with ``text`` and ``ids`` by model, as in ``prompts.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizers = {name: Tokenizer(path) for name, path in MODELS.items()}
    cases = [
        {"text": text, "ids": {name: tokenizer.encode(text) for name, tokenizer in tokenizers.items()}}
        for text in texts(options.count, options.seed)
    ]
    json.dump({"cases": cases}, sys.stdout)


if __name__ == "__main__":
    main()
