"""``make`` lists every target with its arguments and its time, and the docs name only targets that exist."""

from __future__ import annotations

import re
import subprocess
import tomllib

from repository import ROOT

_MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
_TARGETS = re.findall(r"^([a-z0-9-]+):.* ## ", _MAKEFILE, re.MULTILINE)


def test_every_target_is_listed_in_columns() -> None:
    head, *lines = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[0] for line in lines] == _TARGETS
    (phony,) = re.findall(r"^\.PHONY: (help .*)", _MAKEFILE, re.MULTILINE)
    assert phony.split() == _TARGETS
    columns = [match.start() for match in re.finditer(r"\b[A-Z]", head)]
    assert len(columns) == 4
    for line in lines:
        target, arguments, time, what = (line[a:b] for a, b in zip(columns, [*columns[1:], None], strict=True))
        assert target.rstrip() in _TARGETS
        assert all(cell.endswith(" ") for cell in (target, arguments, time)), line
        assert time.strip(), line
        assert what == what.strip() != "", line


def test_docs_name_targets_that_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
    named = {
        target: page.name
        for page in pages
        for target in re.findall(
            r"(?:^|`|&& )(?:[A-Z]+=\S+ )*make ([a-z0-9-]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert len(named) > 5
    assert {target: page for target, page in named.items() if target not in _TARGETS} == {}


def test_test_fast_leaves_out_every_marker() -> None:
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    without = " and ".join(f"not {marker.split(':')[0]}" for marker in markers)
    assert f'FAST := -m "{without}"\n' in _MAKEFILE
