"""Recipes in TOML files: what ``mvlm sensitivity`` proposes and ``mvlm export --recipe`` takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mobilevlm_export.errors import QuantizeError
from mobilevlm_export.quantize.recipe import KNOBS, Recipe


def read_recipe(path: Path) -> Recipe:
    """The recipe in the file ``path``: a scheme for each of ``KNOBS``, and ``name`` (else the file's) and ``llm_layers`` if they are there.

    Raises:
        QuantizeError: the file can't be read, isn't TOML, or has a key or value that isn't a recipe's.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise QuantizeError(f"{path}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # ValueError also for numbers with thousands of digits
        raise QuantizeError(f"{path}: got {str(error).splitlines()[0]:.100}, expected a recipe in TOML") from None
    allowed = ("name", *KNOBS, "llm_layers")
    for key, value in values.items():
        if key not in allowed:
            raise QuantizeError(f"{path}: got the key {key!r:.60}, expected one of {', '.join(allowed)}")
        if not isinstance(value, str):
            raise QuantizeError(f"{path}: {key}: got {value!r:.60}, expected a string")
    if missing := [knob for knob in KNOBS if knob not in values]:
        raise QuantizeError(f"{path}: got no {missing[0]}, expected one of {', '.join(KNOBS[missing[0]])}")
    try:
        return Recipe(**{"name": path.stem} | values)
    except QuantizeError as error:
        raise QuantizeError(f"{path}: {error}") from None


def recipe_text(recipe: Recipe) -> str:
    """``recipe`` as the text of a recipe file. Names and schemes contain no characters that TOML would have to escape."""
    return "".join(f'{key} = "{value}"\n' for key, value in recipe.to_json().items())
