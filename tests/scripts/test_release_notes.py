"""A release's notes are its section of the changelog."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from repository import ROOT

from mobilevlm_export import __version__

_CHANGELOG = """\
# Changelog

## [0.3.0] - unreleased

- Later.

## [0.2.0] - 2026-12-01

Faster, as [measured](docs/reference/performance.md) and in
[the proposal](https://example.org/a).

### Added

- One.

## [0.2.0-rc1] - 2026-11-01

- Before.
"""


def _notes(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "release_notes.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_notes_are_one_section(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(_CHANGELOG)
    done = _notes("0.2.0", tmp_path / "CHANGELOG.md")
    assert done.returncode == 0
    assert done.stdout == (
        "# MobileVLM Kit 0.2.0 (2026-12-01)\n\nFaster, as measured and in\n[the proposal](https://example.org/a).\n\n"
        "### Added\n\n- One.\n"
    )


def test_a_version_without_a_section_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(_CHANGELOG)
    done = _notes("0.2", tmp_path / "CHANGELOG.md")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("CHANGELOG.md: got no section for 0.2, expected a line '## [0.2] - DATE'\n")


def test_this_version_has_notes() -> None:
    assert _notes(__version__).stdout.startswith(f"# MobileVLM Kit {__version__} (")
