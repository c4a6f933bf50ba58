"""A recipe is added in one place, and offered everywhere."""

from __future__ import annotations

import json
import subprocess
import sys

from repository import ROOT

from mobilevlm_export.quantize.recipe import RECIPES

_ADDED = """
import json, sys
from dataclasses import replace
from click.testing import CliRunner
from mobilevlm_export.quantize.recipe import RECIPES
RECIPES["added"] = replace(RECIPES["int4"], name="added", vision="fp32")
from mobilevlm_host.cli.mvlm import main
from mobilevlm_host.sensitivity.components import STOCK
run = lambda *arguments: CliRunner().invoke(main, arguments, catch_exceptions=False).stdout
found = json.loads(run("inspect", "demo", "--json"))
print(json.dumps({
    "export": "added" in run("export", "--help"),
    "demo": "added" in run("demo", "--help"),
    "inspect": found["bundle_bytes"]["int4"] < found["bundle_bytes"]["added"] < found["bundle_bytes"]["fp32"],
    "memory": "added" in found["memory_bytes"],
    "sensitivity": "added" in [recipe.name for recipe in STOCK],
}))
"""


def test_an_added_recipe_is_offered_everywhere() -> None:
    done = subprocess.run([sys.executable, "-c", _ADDED], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(found.values()), found


def test_every_recipe_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "recipes.md").read_text(encoding="utf-8")
    assert [name for name in RECIPES if f"`{name}`" not in text] == []
