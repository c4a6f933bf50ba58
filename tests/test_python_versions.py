"""The versions of Python that the package names are those that ``make setup`` takes and the workflows test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSIONS = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_package_names_the_same_versions_everywhere() -> None:
    first, last = VERSIONS[0], VERSIONS[-1]
    assert PROJECT["requires-python"] == f">={first},<3.{int(last[2:]) + 1}"
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "linux.yml").read_text(encoding="utf-8")
    # The gate's own Python, Debian's, is the first.
    assert re.search(r"python: \[(.*)\]", workflow)[1] == ", ".join(f'"{version}"' for version in VERSIONS[1:])  # type: ignore[index]


@pytest.mark.parametrize(
    ("version", "accepted"), [("3.10", False), ("3.14", False), *((each, True) for each in VERSIONS)]
)
def test_setup_takes_these_versions(tmp_path: Path, version: str, accepted: bool) -> None:
    """With a Python that says it is ``version``, and has no pip to install with."""
    python = tmp_path / "python"
    major, minor = version.split(".")
    python.write_text(
        f"""#!{sys.executable}
import sys
if sys.argv[1] == "--version":
    print("Python {version}")
elif sys.argv[1] == "-m":
    sys.exit("no venv")
else:
    sys.version_info = ({major}, {minor})
    exec(sys.argv[2])
"""
    )
    python.chmod(0o755)
    command = [ROOT / "scripts" / "make_venv.sh", python, tmp_path / "venv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    refused = f"make setup: got Python {version}, expected Python 3.11 to 3.13; name one: make PYTHON=python3.12\n"
    assert (done.stderr == refused) is not accepted


def test_setup_works_in_a_folder_with_a_blank_in_its_name(tmp_path: Path) -> None:
    """pip takes the path of the constraints for several if it has blanks."""
    folder = tmp_path / "my projects"
    (folder / "scripts").mkdir(parents=True)
    (folder / "constraints.txt").touch()
    for name in ("make_venv.sh", "show_pip.py"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "pip").write_text('#!/bin/sh\nfor file in $PIP_CONSTRAINT; do [ -f "$file" ] || exit 1; done\n')
    (programs / "pip").chmod(0o755)
    done = subprocess.run(["scripts/make_venv.sh", sys.executable, ".venv"], cwd=folder, check=False)
    assert done.returncode == 0
