"""Every page of the documentation is reachable, every relative link and anchor resolves, and prose is wrapped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import mobilevlm_export
import mobilevlm_host
from mobilevlm_host.cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLUMNS = 100
_BUILT = {".venv", ".git", ".build", "build", "node_modules"}
PAGES = sorted(page for page in ROOT.rglob("*.md") if not _BUILT & set(page.relative_to(ROOT).parts))

_FENCE = re.compile(r"^\s*```.*?^\s*```\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)|\bsrc=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+\s+(.*?)\s*$", re.MULTILINE)


def _prose(page: Path) -> str:
    """The page without its blocks of code, whose lines are left empty."""
    return _FENCE.sub(lambda block: "\n" * block[0].count("\n"), page.read_text(encoding="utf-8"))


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file and the anchor (or "") of each relative link and image."""
    for found in _LINK.finditer(_CODE.sub("", _prose(page))):
        target, _, anchor = (found[1] or found[2]).partition("#")
        if not re.match(r"[a-z]+:", target):
            yield (page.parent / target).resolve() if target else page, anchor


def _anchors(page: Path) -> set[str]:
    """The anchors that a code host makes of the headings: lower case, punctuation dropped, a hyphen for each blank."""
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in _HEADING.findall(_prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_and_anchors_resolve(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.exists(), f"{_name(page)} links to {target}, which is missing"
        assert not anchor or anchor in _anchors(target), f"{_name(page)} links to #{anchor}, which {target} lacks"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_prose_is_wrapped(page: Path) -> None:
    """Tables, HTML, and the targets of links don't count."""
    for number, line in enumerate(_prose(page).splitlines(), 1):
        shown = re.sub(r"\]\([^)]*\)", "]", line)
        is_exempt = line.lstrip().startswith(("|", "<", "!["))
        assert is_exempt or len(shown) <= COLUMNS, f"{_name(page)}:{number}: {len(shown)} columns, expected {COLUMNS}"


def test_pages_named_in_sources_exist() -> None:
    folders = ("export", "python_host", "android_app", "ios_app", "tests", "scripts")
    sources = [
        file
        for folder in folders
        for kind in ("py", "kt", "swift", "sh")
        for file in (ROOT / folder).rglob(f"*.{kind}")
    ]
    named = {}  # but for llama.cpp's docs/multimodal
    for file in sources:
        if not _BUILT & set(file.relative_to(ROOT).parts):
            for page in re.findall(r"\bdocs/(?!multimodal/)[\w/-]+\.md", file.read_text(encoding="utf-8")):
                named[page] = file
    assert named
    for page, file in named.items():
        assert (ROOT / page).is_file(), f"{_name(file)} names {page}, which is missing"


def test_every_page_is_reachable_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [target for target, _ in _links(page) if target.suffix == ".md" and DOCS in target.parents]
    assert set(DOCS.rglob("*.md")) == seen & set(DOCS.rglob("*.md"))


def test_the_command_reference_names_every_command() -> None:
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `mvlm ([a-z0-9-]+)", page, re.MULTILINE))
    assert named == set(main.list_commands(click.Context(main)))


def test_the_api_reference_names_every_public_name() -> None:
    page = (DOCS / "reference" / "python-api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(mobilevlm_\w+\.\w+)` \|", page, re.MULTILINE))
    packages = (mobilevlm_export, mobilevlm_host)
    assert named == {f"{package.__name__}.{name}" for package in packages for name in package.__all__}
