"""Print the notes of a release: its section of CHANGELOG.md.

usage: python scripts/release_notes.py VERSION [CHANGELOG.md]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def release_notes(changelog: str, version: str) -> str:
    """The section of ``version`` in ``changelog`` under a title of its own; links into the repository become plain text.

    Raises:
        ValueError: ``changelog`` has no such section.
    """
    found = re.search(rf"^## \[{re.escape(version)}\] - (\S+)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"got no section for {version}, expected a line '## [{version}] - DATE'")
    date, section = found.groups()
    section = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", section)
    return f"# MobileVLM Kit {version} ({date})\n\n{section.strip()}\n"


def main() -> None:
    """Print the notes, or one line that says why there are none."""
    version, *rest = sys.argv[1:]
    path = Path(rest[0]) if rest else _CHANGELOG
    try:
        sys.stdout.write(release_notes(path.read_text(encoding="utf-8"), version))
    except ValueError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main()
